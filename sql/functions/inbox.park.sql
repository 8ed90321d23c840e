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
as $$
declare
    parked bigint[];
    freed  text[];
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane in (select d.lane from inbox.delivery d where d.id = any (ids))
      order by l.lane for update;
    with changed as (
        update inbox.delivery d
           set state = r.state, due_at = clock_timestamp() + make_interval(secs => r.delay_seconds),
               reason = r.reason, reason_class = r.reason_class,
               settled_at = case when r.state = 'dead' then clock_timestamp() end,
               is_passed = r.state = 'dead' and pass_dead
          from unnest(ids, epochs, states, delays_seconds, reasons, reason_classes)
               r(id, epoch, state, delay_seconds, reason, reason_class)
          join inbox.lane l on l.flow = wanted_flow and l.owner = me and l.epoch = r.epoch
                           and l.leased_until > clock_timestamp()
         where d.id = r.id and d.flow = wanted_flow and d.lane = l.lane
           and d.due_at is not null
           and ((r.state = 'in_doubt' and d.state in ('in_doubt', 'retry') and d.first_sent_at is not null)
                or (r.state = 'dead' and d.state in ('ready', 'retry') and d.first_sent_at is null))
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
    'Parks deliveries without a call: dead when nothing was ever sent, in_doubt when something was. Without a delay it is not due: a person decides. "pass_dead": a key goes on without its dead deliveries. Locks the lanes it touches.';
revoke all on function inbox.park from public;
grant execute on function inbox.park to outbox_adapter;
