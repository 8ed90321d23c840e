create or replace function inbox.park(
    wanted_flow    text,
    me             text,
    ids            bigint[],
    epochs         bigint[],
    states         text[],
    delays_seconds double precision[],
    reasons        text[],
    reason_classes text[],
    pass_dead      boolean
)
returns setof bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    parked bigint[];
    freed  text[];
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane = any (array(select d.lane from inbox.delivery d where d.id = any (ids)))
      order by l.lane for update;
    with changed as (
        update inbox.delivery d
           set state = r.state, due_at = clock_timestamp() + make_interval(secs => r.delay_seconds),
               reason = r.reason, reason_class = r.reason_class,
               settled_at = case when r.state = 'dead' then clock_timestamp() end,
               is_passed = r.state = 'dead' and pass_dead
          from unnest(ids, epochs, states, delays_seconds, reasons, reason_classes)
               r(id, epoch, state, delay_seconds, reason, reason_class)
         where d.id = any (ids) and d.id = r.id
           -- Conditions that no index can serve: the rows are found by their ids.
           and case when d.flow <> wanted_flow or coalesce(d.due_at, d.look_at) is null then false
                    when r.epoch is distinct from (select l.epoch from inbox.lane l
                                                    where l.flow = wanted_flow and l.lane = d.lane and l.owner = me
                                                      and l.leased_until > clock_timestamp())
                    then false
                    when r.state = 'in_doubt' then d.state in ('in_doubt', 'retry')
                    when r.state = 'dead' then d.state in ('ready', 'retry')
                    else false end
        returning d.id, d.key, d.is_passed
    )
    select array_agg(c.id), array_agg(distinct c.key) filter (where c.is_passed and c.key is not null)
      into parked, freed
      from changed c;
    if freed is not null then
        perform inbox.promote(wanted_flow, freed);
    end if;
    return query select unnest(parked);
end
$$;
comment on function inbox.park is
    'Parks deliveries without a call: dead when nothing took effect for certain (nothing was sent, or every answer said so), in_doubt when something may have, also what was definite within a window that is over. Without a delay it is not due: a person decides. What waits for an id can become dead as well. "pass_dead": a key goes on without its dead deliveries. Locks the lanes it touches.';
revoke all on function inbox.park from public;
grant execute on function inbox.park to outbox_adapter;
