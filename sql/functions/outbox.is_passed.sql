create or replace function outbox.is_passed(
    id bigint, tx xid8, previous pg_snapshot, current pg_snapshot, "position" bigint, horizon bigint
)
returns boolean
language sql
immutable
as $$
    select case
             when horizon > 0 and pg_snapshot_xmax(previous) = '1' then id <= position
             when id <= horizon then true
             when pg_visible_in_snapshot(tx, previous) then true
             else id <= position and current is not null and pg_visible_in_snapshot(tx, current)
           end
$$;
comment on function outbox.is_passed is
    'Whether a cursor has passed an event. Compares numbers only, so it also holds on a server that the numbers are not from.';
revoke all on function outbox.is_passed from public;
grant execute on function outbox.is_passed to outbox_relay;
