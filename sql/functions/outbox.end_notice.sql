create or replace function outbox.end_notice(
    told_route bigint, held_epoch integer, alert_ids bigint[], levels integer[], overs boolean[],
    every_seconds double precision
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    at timestamptz := clock_timestamp();
begin
    update outbox.alert_route t
       set leased_until = '-infinity', next_at = at + make_interval(secs => every_seconds), sent_at = at,
           failures = 0, failed_at = null, last_error = null
     where t.id = told_route and t.epoch = held_epoch;
    if not found then
        return false;
    end if;
    update outbox.alert_notice n
       set told_at = case when told.is_over then n.told_at else at end,
           told_level = case when told.is_over then n.told_level else told.level end,
           over_told_at = case when told.is_over then at end
      from unnest(alert_ids, levels, overs) as told (alert_id, level, is_over)
     where n.route_id = told_route and n.alert_id = told.alert_id
       and n.alert_id in (
           -- In the order in which outbox.judge_alerts locks them.
           select x.alert_id from outbox.alert_notice x
            where x.route_id = told_route and x.alert_id = any (alert_ids)
            order by 1
              for update);
    return true;
end
$$;
comment on function outbox.end_notice is
    'Notes what a route was told, and that it is told nothing more for every_seconds. False: another process has begun to write to it since, and tells it once more.';
revoke all on function outbox.end_notice from public;
grant execute on function outbox.end_notice to outbox_relay, outbox_adapter, outbox_intake;
