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
    saved   outbox.cursor;
    floor   bigint;
    of_lane record;
begin
    events := 0;
    for saved in select c.* from outbox.cursor c where wanted_stream in (c.stream, split_part(c.stream, ':', 1)) loop
        floor := outbox.published_below(saved.previous);
        select count(*) as events, min(e.id) as first_sequence, max(e.id) as last_sequence into of_lane
          from (
                select s.id, s.tx, s.key
                  from pg_snapshot_xip(saved.previous) x
                  join outbox.event s on s.tx = x and s.id >= floor
                union all
                select n.id, n.tx, n.key
                  from outbox.event n
                 where n.tx >= pg_snapshot_xmax(saved.previous) and n.id >= floor
               ) e
         where not outbox.is_passed(e.id, e.tx, saved.previous, saved.current, saved.position, saved.horizon)
           and (saved.lanes = 1 or outbox.lane_of(e.key, e.id, saved.lanes) = saved.lane);
        events := events + of_lane.events;
        first_sequence := least(first_sequence, of_lane.first_sequence);
        last_sequence := greatest(last_sequence, of_lane.last_sequence);
    end loop;
    return next;
end
$$;
comment on function outbox.unpassed is
    'The events that the saved cursor has not passed: how many, the first and the last id; of a stream with lanes (without ":i/n") those of all lanes. Compares numbers only, so it also holds on a server that the numbers are not from. Reads the index event_tx above the cursor.';
revoke all on function outbox.unpassed from public;
grant execute on function outbox.unpassed to outbox_relay;
