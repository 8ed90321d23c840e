create or replace function outbox.unpassed(wanted_stream text)
returns table (events bigint, first_sequence bigint, last_sequence bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
-- A policy that hides rows is an error, not an empty outbox.
set row_security = off
as $$
declare
    saved outbox.cursor;
    floor bigint;
begin
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream;
    floor := outbox.published_below(saved.previous);
    return query
        select count(*), min(e.id), max(e.id)
          from (
                select s.id, s.tx
                  from pg_snapshot_xip(saved.previous) x
                  join outbox.event s on s.tx = x and s.id >= floor
                union all
                select n.id, n.tx
                  from outbox.event n
                 where n.tx >= pg_snapshot_xmax(saved.previous) and n.id >= floor
               ) e
         where not outbox.is_passed(e.id, e.tx, saved.previous, saved.current, saved.position, saved.horizon);
end
$$;
comment on function outbox.unpassed is
    'The events that the saved cursor has not passed: how many, the first and the last id. Compares numbers only, so it also holds on a server that the numbers are not from. Reads the index event_tx above the cursor.';
revoke all on function outbox.unpassed from public;
grant execute on function outbox.unpassed to outbox_relay;
