create or replace function outbox.fail_notice(
    told_route bigint, held_epoch integer, reason text, pause_seconds double precision
)
returns boolean
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
    with failed as (
        update outbox.alert_route t
           set leased_until = '-infinity', next_at = clock_timestamp() + make_interval(secs => pause_seconds),
               failures = t.failures + 1, failed_at = clock_timestamp(), last_error = left(reason, 500)
         where t.id = told_route and t.epoch = held_epoch
        returning 1)
    select exists (select from failed)
$$;
comment on function outbox.fail_notice is
    'Notes that a route could not be told, and when that is tried again; what it was to be told stays. False: another process has begun to write to it since.';
revoke all on function outbox.fail_notice from public;
grant execute on function outbox.fail_notice to outbox_relay, outbox_adapter, outbox_intake;
