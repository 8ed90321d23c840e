create or replace function inbox.fetch(
    wanted_flow text, me text, in_hand bigint[], leaving smallint[], wanted integer, newest_first boolean,
    reach_seconds double precision
)
returns table (
    id bigint, lane smallint, epoch bigint, state text, sequence bigint, message_id text, type text, version integer,
    key text, attempt integer, failures integer, sent_age_seconds double precision,
    last_sent_age_seconds double precision, request_sha256 bytea, key_number integer, reference text, job text,
    traceparent text, body bytea, generation integer, is_watched boolean, is_probe boolean,
    due_seconds double precision, circuit_changed_at timestamptz
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    circuit  inbox.circuit;
    at       timestamptz := clock_timestamp();
    turn     integer := case when newest_first then -1 else 1 end;
    most     integer := wanted;
    since    timestamptz := coalesce(at - make_interval(secs => reach_seconds), '-infinity');
    of_lane  integer;
    found    bigint[];
begin
    select c.* into circuit from inbox.circuit c where c.flow = wanted_flow;
    if circuit.throttled_until > at or circuit.until > at then
        return;
    elsif circuit.state <> 'closed' then
        most := 1;
    end if;
    -- What is wanted is usually spread over the lanes: twice a lane's part of it first, and all of it from one lane only
    -- if that is not enough.
    select greatest(2 * most / greatest(count(*), 1), 2) into of_lane
      from inbox.lane l
     where l.flow = wanted_flow and l.owner = me and l.leased_until > at and l.lane <> all (leaving);
    loop
        select array_agg(c.id order by c.place) into found
          from (
                select d.id, row_number() over (order by turn * (d.due_at - at), turn * d.sequence, d.id) as place
                  from inbox.lane l
                 cross join lateral (
                       (select d.id, d.due_at, d.sequence from inbox.delivery d
                         where not newest_first
                           and d.flow = wanted_flow and d.lane = l.lane
                           and d.state in ('ready', 'retry', 'in_doubt') and d.due_at between since and at
                           and d.id not in (select h.id from unnest(in_hand) h(id))
                         order by d.due_at
                         limit of_lane)
                       union all
                       (select d.id, d.due_at, d.sequence from inbox.delivery d
                         where newest_first
                           and d.flow = wanted_flow and d.lane = l.lane
                           and d.state in ('ready', 'retry', 'in_doubt') and d.due_at between since and at
                           and d.id not in (select h.id from unnest(in_hand) h(id))
                         order by d.due_at desc
                         limit of_lane)
                       ) d
                 where l.flow = wanted_flow and l.owner = me and l.leased_until > at and l.lane <> all (leaving)
                 order by place
                 limit most
               ) c;
        exit when of_lane >= most or cardinality(found) >= most
               -- Fewer than one lane's part: none was cut off.
               or coalesce(cardinality(found), 0) < of_lane;
        of_lane := most;
    end loop;
    return query
        select f.id, f.lane, f.epoch, f.state, f.sequence, f.message_id, f.type, f.version, f.key,
               f.attempt, f.failures,
               extract(epoch from at - f.first_sent_at)::double precision,
               extract(epoch from at - f.last_sent_at)::double precision,
               f.request_sha256, f.key_number, f.reference, f.job, f.traceparent, f.body, f.generation,
               coalesce(circuit.state <> 'closed' or circuit.suspects <> '{}', false),
               coalesce(circuit.state <> 'closed', false),
               extract(epoch from at - f.due_at)::double precision,
               circuit.changed_at
          from (
                select d.*, l.epoch, u.place, m.traceparent, coalesce(m.edited_body, m.body) as body,
                       sum(octet_length(coalesce(m.edited_body, m.body))::bigint)
                           over (order by u.place rows between unbounded preceding and 1 preceding) as bytes_before
                  from unnest(found) with ordinality u(id, place)
                  join inbox.delivery d on d.id = u.id and d.id = any (found)
                  join inbox.lane l on l.flow = wanted_flow and l.lane = d.lane
                  join inbox.message m on m.delivery_id = u.id and m.delivery_id = any (found)
               ) f
         where coalesce(f.bytes_before, 0) < 33554432
         order by f.place;
end
$$;
comment on function inbox.fetch is
    'Reads the deliveries that may be acted on now in the caller''s lanes but those that it is "leaving", oldest due first (of those that are first in their lane), or with "newest_first" the other way round, so that a backlog does not hold up what is new; changes nothing. Nothing while the flow''s circuit is open or its target throttles; one delivery, to probe, when an open one has waited long enough. "reach_seconds": what has been due for longer is not looked for (null: everything); while a transaction anywhere keeps the dead rows of what was applied, they are behind that. "is_watched": the circuit wants to know how its call ends, also when it goes well; "is_probe": its call would be the probe; "circuit_changed_at": who has not seen this before does not know how the target is. Only heads of their key are ever due. Ends at 32 MiB of bodies: a caller''s memory has a bound, also when many payloads are large.';
revoke all on function inbox.fetch from public;
grant execute on function inbox.fetch to outbox_adapter;
