create or replace function outbox.renew_reconciliation(wanted bigint, held_epoch integer, lease_seconds double precision)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update outbox.reconciliation r
       set leased_until = clock_timestamp() + make_interval(secs => lease_seconds)
     where r.id = wanted and r.epoch = held_epoch and r.ended_at is null;
    return found;
end
$$;
comment on function outbox.renew_reconciliation is
    'Keeps a window for longer; false when another process has begun it.';
revoke all on function outbox.renew_reconciliation from public;
grant execute on function outbox.renew_reconciliation to outbox_adapter;
