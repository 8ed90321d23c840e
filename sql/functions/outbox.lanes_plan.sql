create or replace function outbox.lanes_plan(wanted_stream text, wanted_lanes integer)
returns table (
    lanes_before integer, lanes_after integer, repeated bigint, first_repeated bigint, last_repeated bigint,
    leaders bigint, unpassed bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
-- A policy that hides rows is an error, not an empty outbox.
set row_security = off
as $$
#variable_conflict use_column
declare
    start record;
    floor bigint;
begin
    perform outbox.check_lanes_change(wanted_stream, wanted_lanes);
    select s.* into start from outbox.lanes_start(wanted_stream) s;
    floor := outbox.published_below(start.previous);
    return query
        select l.lanes, wanted_lanes, again.events, again.first_sequence, again.last_sequence, l.led,
               (select u.events from outbox.unpassed(wanted_stream) u)
          from (
                select max(c.lanes) as lanes, count(outbox.leader(c.stream)) as led
                  from outbox.cursor c
                 where split_part(c.stream, ':', 1) = wanted_stream
               ) l
         cross join (
                select count(*) as events, min(e.id) as first_sequence, max(e.id) as last_sequence
                  from (
                        select s.id, s.tx, s.key
                          from pg_snapshot_xip(start.previous) x
                          join outbox.event s on s.tx = x and s.id >= floor
                        union all
                        select n.id, n.tx, n.key
                          from outbox.event n
                         where n.tx >= pg_snapshot_xmax(start.previous) and n.id >= floor
                       ) e
                  join outbox.cursor c
                    on split_part(c.stream, ':', 1) = wanted_stream
                   and c.lane = outbox.lane_of(e.key, e.id, c.lanes)
                 where wanted_lanes <> c.lanes
                   and outbox.is_passed(e.id, e.tx, c.previous, c.current, c.position, c.horizon)
                   and not outbox.is_passed(e.id, e.tx, start.previous, start.current, start.position, c.horizon)
               ) again;
end
$$;
comment on function outbox.lanes_plan is
    'What a change of the number of lanes would do: how many events would be published again, how many lanes are led now, how many events wait. Changes nothing. Counts exactly: may take seconds on a large backlog. Errors as check_lanes_change.';
revoke all on function outbox.lanes_plan from public;
grant execute on function outbox.lanes_plan to outbox_relay;
