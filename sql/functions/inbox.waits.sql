create or replace function inbox.waits(
    wanted_flow text, me text, most integer, reach_seconds double precision default null
)
returns table (
    id bigint, epoch bigint, message_id text, sequence bigint, waited_seconds double precision,
    left_seconds double precision, reason text, missing text, due_seconds double precision
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    at      timestamptz := clock_timestamp();
    since   timestamptz := coalesce(at - make_interval(secs => reach_seconds), '-infinity');
    of_lane integer;
begin
    select greatest(most / greatest(count(*), 1), 1) into of_lane
      from inbox.lane l where l.flow = wanted_flow and l.owner = me and l.leased_until > at;
    return query
        select d.id, l.epoch, d.message_id, d.sequence,
               extract(epoch from at - d.waits_since)::double precision,
               extract(epoch from d.waits_until - at)::double precision, d.reason,
               (select json_agg(w.wanted order by w.place)::text
                  from jsonb_array_elements(d.waits_for) with ordinality w(wanted, place)
                 where not case when w.wanted ->> 'to' = 'key'
                                then exists (select from xref.link k
                                              where k.entity = w.wanted ->> 'entity' and k.system = w.wanted ->> 'system'
                                                and k.external_id = w.wanted ->> 'key')
                                else exists (select from xref.link k
                                              where k.entity = w.wanted ->> 'entity' and k.system = w.wanted ->> 'system'
                                                and k.canonical_key = w.wanted ->> 'key') end),
               extract(epoch from at - d.look_at)::double precision
          from inbox.lane l
         cross join lateral (
               select x.* from inbox.delivery x
                where x.flow = wanted_flow and x.lane = l.lane and x.look_at between since and at
                order by x.look_at
                limit of_lane) d
         where l.flow = wanted_flow and l.owner = me and l.leased_until > at;
end
$$;
comment on function inbox.waits is
    'The deliveries of the caller''s lanes that wait for ids and are to be looked at again, no more than "most" (of each lane its part of it): for how long they have waited, for how long they may yet, what is still missing (null: nothing, they may go on), and for how long the look has been due. "reach_seconds": what was to be looked at before that is not looked for (null: everything), as with inbox.fetch. Changes nothing, and reads no payload.';
revoke all on function inbox.waits from public;
grant execute on function inbox.waits to outbox_adapter;
