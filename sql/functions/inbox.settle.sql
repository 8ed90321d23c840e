create or replace function inbox.settle(
    wanted_flow    text,
    me             text,
    ids            bigint[],
    epochs         bigint[],
    calls          text[],
    states         text[],
    delays_seconds double precision[],
    are_failures   boolean[],
    are_unsent     boolean[],
    start_anew     boolean[],
    outcomes       text[],
    http_statuses  integer[],
    external_ids   text[],
    jobs           text[],
    reasons        text[],
    reason_classes text[],
    pass_dead      boolean
)
returns setof bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    ended bigint[];
    freed text[];
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane in (select d.lane from inbox.delivery d where d.id = any (ids))
      order by l.lane for update;
    with result as materialized (
        select * from unnest(ids, epochs, calls, states, delays_seconds, are_failures, are_unsent, start_anew, outcomes,
                             http_statuses, external_ids, jobs, reasons, reason_classes)
               r(id, epoch, call, state, delay_seconds, is_failure, is_unsent, starts_anew, outcome, http_status,
                 external_id, job, reason, reason_class)
    ), judged as (
        -- A first call that never left leaves nothing to be in doubt about.
        select r.*, r.starts_anew or (r.is_unsent and r.call = 'send' and r.state = 'retry'
                                      and d.first_sent_at >= d.began_at) as is_forgotten
          from result r join inbox.delivery d on d.id = r.id
    ), settled as (
        update inbox.delivery d
           set state = r.state,
               lane_epoch = null,
               failures = d.failures + r.is_failure::integer,
               due_at = case when r.state in ('ready', 'retry', 'in_doubt')
                             then clock_timestamp() + make_interval(secs => r.delay_seconds) end,
               settled_at = case when r.state in ('applied', 'dead') then clock_timestamp() end,
               is_passed = r.state = 'dead' and pass_dead,
               first_sent_at = case when not r.is_forgotten then d.first_sent_at end,
               last_sent_at = case when not r.is_forgotten then d.last_sent_at end,
               request_sha256 = case when not r.is_forgotten then d.request_sha256 end,
               reference = case when not r.is_forgotten then d.reference end,
               job = case when not r.is_forgotten then coalesce(r.job, d.job) end,
               -- What never left has used no key.
               key_number = d.key_number + r.starts_anew::integer,
               external_id = coalesce(r.external_id, d.external_id),
               reason = r.reason,
               reason_class = r.reason_class
          from judged r
          join inbox.lane l on l.flow = wanted_flow and l.owner = me and l.epoch = r.epoch
         where d.id = r.id and d.flow = wanted_flow and d.lane = l.lane
           and d.state = 'applying' and d.lane_epoch = r.epoch
        returning d.id, d.attempt, d.began_at, d.key, d.state
    ), logged as (
        insert into inbox.attempt (delivery_id, attempt, began_at, call, http_status, owner, outcome, external_id,
                                   reason)
        select s.id, s.attempt, s.began_at, r.call, r.http_status, me, r.outcome, r.external_id, r.reason
          from settled s join result r on r.id = s.id
    )
    select array_agg(s.id),
           array_agg(distinct s.key) filter (where s.key is not null
                                               and (s.state = 'applied' or s.state = 'dead' and pass_dead))
      into ended, freed
      from settled s;
    if freed is not null then
        perform inbox.promote(wanted_flow, freed);
    end if;
    return query select unnest(ended);
end
$$;
comment on function inbox.settle is
    'Ends calls of every kind: new state, attempt log, and the next delivery of a finished key becomes ready. Returns what was settled; a result that is missing came from an owner that has lost its lane and is void. "start_anew": it is certain that nothing took effect; what was sent is forgotten, and its key is never used again. "pass_dead": a key goes on without its dead deliveries. Locks the lanes it touches.';
revoke all on function inbox.settle from public;
grant execute on function inbox.settle to outbox_adapter;
