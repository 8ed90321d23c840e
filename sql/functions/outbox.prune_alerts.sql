create or replace function outbox.prune_alerts(keep_seconds double precision)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    pruned integer;
begin
    delete from outbox.alert a
     where a.id in (select x.id from outbox.alert x
                     where x.over_at < clock_timestamp() - make_interval(secs => keep_seconds)
                     order by x.over_at limit 1000 for update skip locked);
    get diagnostics pruned = row_count;
    delete from outbox.alert a
     where a.over_at is null and a.seen_at < clock_timestamp() - make_interval(secs => keep_seconds);
    delete from outbox.alert_route t
     where t.leased_until < clock_timestamp() and t.next_at < clock_timestamp() - make_interval(secs => keep_seconds)
       and not exists (select from outbox.alert_notice n where n.route_id = t.id);
    return pruned;
end
$$;
comment on function outbox.prune_alerts is
    'Removes alerts that have been over for this long, up to 1000, those that nobody has looked at for as long, and routes that nothing names. Returns how many of the first kind.';
revoke all on function outbox.prune_alerts from public;
grant execute on function outbox.prune_alerts to outbox_relay, outbox_adapter, outbox_intake;
