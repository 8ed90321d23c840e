create or replace function inbox.status(count_up_to integer)
returns table (
    flow text, ready bigint, applying bigint, retry bigint, in_doubt bigint, blocked bigint, dead bigint,
    oldest_due_age_seconds double precision, lanes integer, lanes_leased integer, last_reason text,
    circuit text, circuit_reason text, circuit_seconds double precision, needs_a_person boolean,
    throttled_seconds double precision, awaiting bigint, awaits text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select f.flow,
           (select count(*) from (select from inbox.delivery d where d.flow = f.flow and d.lane = any (f.numbers)
                                     and d.state = 'ready' and d.due_at is not null limit count_up_to) x),
           (select count(*) from (select from inbox.delivery d where d.flow = f.flow and d.state = 'applying'
                                   limit count_up_to) x),
           (select count(*) from (select from inbox.delivery d where d.flow = f.flow and d.state = 'retry'
                                   limit count_up_to) x),
           (select count(*) from (select from inbox.delivery d where d.flow = f.flow and d.state = 'in_doubt'
                                   limit count_up_to) x),
           (select count(*) from (select from inbox.delivery d where d.flow = f.flow and d.state = 'blocked'
                                   limit count_up_to) x),
           (select count(*) from (select from inbox.delivery d where d.flow = f.flow and d.state = 'dead'
                                   limit count_up_to) x),
           (select coalesce(greatest(extract(epoch from clock_timestamp() - min(oldest.due_at)), 0), 0)
              from unnest(f.numbers) n
             cross join lateral (select d.due_at from inbox.delivery d
                                  where d.flow = f.flow and d.lane = n
                                    and d.state in ('ready', 'retry', 'in_doubt') and d.due_at is not null
                                  order by d.due_at limit 1) oldest)::double precision,
           f.lanes, f.leased,
           (select last.reason
              from unnest(array['dead', 'in_doubt', 'retry']) s
             cross join lateral (select d.id, d.reason from inbox.delivery d
                                  where d.flow = f.flow and d.state = s
                                  order by d.id desc limit 1) last
             order by last.id desc limit 1),
           coalesce(c.state, 'closed'), c.reason,
           case when c.until < 'infinity' then extract(epoch from c.until - clock_timestamp()) end::double precision,
           coalesce(c.needs_a_person, false),
           greatest(extract(epoch from c.throttled_until - clock_timestamp()), 0)::double precision,
           (select count(*) from (select from inbox.delivery d where d.flow = f.flow and d.look_at is not null
                                   limit count_up_to) x),
           (select d.waits_for::text from inbox.delivery d
             where d.flow = f.flow and d.look_at is not null order by d.id limit 1)
      from (select l.flow, count(*)::integer as lanes, array_agg(l.lane) as numbers,
                   (count(*) filter (where l.leased_until > clock_timestamp()))::integer as leased
              from inbox.lane l group by l.flow) f
      left join inbox.circuit c on c.flow = f.flow
     order by f.flow
$$;
comment on function inbox.status is
    'Per flow: how many deliveries stand in each unfinished state, counted up to a bound so that the cost is constant, the age of the oldest one that is due, and whether the target is called: the circuit, in how many seconds it is probed (null: when a person closes it), for how long the target wants fewer calls, how many wait for ids of other systems, and for which the oldest of them.';
revoke all on function inbox.status from public;
grant execute on function inbox.status to outbox_adapter;
