create or replace function inbox.observe(
    wanted_flow text, me text, count_up_to integer, reach_seconds double precision
)
returns table (
    circuit text, needs_a_person boolean, reason text, changed_at timestamptz, changed_by text, dead integer,
    in_doubt integer, blocked integer, oldest_due_age_seconds double precision,
    oldest_waiting_age_seconds double precision, quiet_seconds double precision, awaiting integer
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    at    timestamptz := clock_timestamp();
    since timestamptz := coalesce(at - make_interval(secs => reach_seconds), '-infinity');
begin
    if not exists (select from inbox.lane l
                    where l.flow = wanted_flow and l.lane = 0 and l.owner = me and l.leased_until > at) then
        return;
    end if;
    return query
        select c.state, c.needs_a_person, c.reason, c.changed_at, c.changed_by,
               (select count(*) from (select from inbox.delivery d
                                       where d.flow = wanted_flow and d.state = 'dead' and d.parked_at is not null
                                       limit count_up_to) x)::integer,
               (select count(*) from (select from inbox.delivery d
                                       where d.flow = wanted_flow and d.state = 'in_doubt' and d.parked_at is not null
                                       limit count_up_to) x)::integer,
               (select count(*) from (select from inbox.delivery d
                                       where d.flow = wanted_flow and d.state = 'blocked'
                                       limit count_up_to) x)::integer,
               due.age_seconds, greatest(due.age_seconds, tried.age_seconds),
               (select coalesce(extract(epoch from at - max(a.last_at)), 0)
                  from inbox.last_arrival a where a.flow = wanted_flow)::double precision,
               (select count(*) from (select from inbox.delivery d
                                       where d.flow = wanted_flow and d.look_at is not null
                                       limit count_up_to) x)::integer
          from inbox.circuit c
         cross join lateral (
               select coalesce(extract(epoch from at - min(oldest.due_at)), 0)::double precision as age_seconds
                 from inbox.lane l
                cross join lateral (select d.due_at from inbox.delivery d
                                     where d.flow = wanted_flow and d.lane = l.lane
                                       and d.state in ('ready', 'retry', 'in_doubt') and d.due_at between since and at
                                     order by d.due_at limit 1) oldest
                where l.flow = wanted_flow) due
         cross join lateral (
               -- A retry is due again and again: it has waited since it came.
               select coalesce(extract(epoch from at - min(oldest.accepted_at)), 0)::double precision as age_seconds
                 -- Each state by itself: only a literal is known to be one that the index has.
                 from ((select d.accepted_at from inbox.delivery d
                         where d.flow = wanted_flow and d.state = 'retry' order by d.id limit 1)
                       union all
                       (select d.accepted_at from inbox.delivery d
                         where d.flow = wanted_flow and d.look_at is not null order by d.id limit 1)
                       union all
                       -- Behind so many parked ones nobody misses one that is not.
                       (select x.accepted_at
                          from (select d.id, d.accepted_at, d.parked_at from inbox.delivery d
                                 where d.flow = wanted_flow and d.state = 'in_doubt' order by d.id limit 100) x
                         where x.parked_at is null order by x.id limit 1)) oldest) tried
         where c.flow = wanted_flow;
end
$$;
comment on function inbox.observe is
    'How a flow stands: its circuit, how many deliveries are parked (dead, in doubt) or blocked, or wait for ids of other systems, each counted up to a bound, and for how long the oldest one that is due has been (0: none is) and the oldest that is not parked has waited, and since when no message has come. A row for the owner of lane 0 alone, so that one process tells of each flow. "reach_seconds": what has been due for longer is not looked for, as with inbox.fetch. Changes nothing.';
revoke all on function inbox.observe from public;
grant execute on function inbox.observe to outbox_adapter;
