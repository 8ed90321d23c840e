create or replace function outbox.reject(rejected_sequence bigint, why text)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    insert into outbox.rejected (sequence, event_id, type, key, reason)
    select e.id, e.event_id, e.type, e.key, why from outbox.event e where e.id = rejected_sequence
    on conflict (sequence) do nothing
$$;
comment on function outbox.reject is
    'Records an event that cannot become a message, so that the cursor may pass it. Safe to repeat.';
revoke all on function outbox.reject from public;
grant execute on function outbox.reject to outbox_relay;
