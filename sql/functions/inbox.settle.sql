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
returns table (id bigint, link_verdict text)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    ended   bigint[];
    freed   text[];
    linked  bigint[];
    keys    text[];
    records text[];
    entity  text;
    system  text;
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane = any (array(select d.lane from inbox.delivery d where d.id = any (ids)))
      order by l.lane for update;
    with judged as materialized (
        -- A first call that never left leaves nothing to be in doubt about.
        select r.*, r.starts_anew or (r.is_unsent and r.call = 'send' and r.state = 'retry'
                                      and d.first_sent_at >= d.began_at) as is_forgotten
          from unnest(ids, epochs, calls, states, delays_seconds, are_failures, are_unsent, start_anew, outcomes,
                      http_statuses, external_ids, jobs, reasons, reason_classes)
               r(id, epoch, call, state, delay_seconds, is_failure, is_unsent, starts_anew, outcome, http_status,
                 external_id, job, reason, reason_class)
          join inbox.delivery d on d.id = r.id and d.id = any (ids)
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
               -- The target may still be at what we have only given up waiting for.
               last_sent_at = case when r.is_forgotten then null
                                   when r.call = 'send' and not r.is_unsent then clock_timestamp()
                                   else d.last_sent_at end,
               request_sha256 = case when not r.is_forgotten then d.request_sha256 end,
               reference = case when not r.is_forgotten then d.reference end,
               job = case when not r.is_forgotten then coalesce(r.job, d.job) end,
               -- What never left has used no key.
               key_number = d.key_number + r.starts_anew::integer,
               external_id = coalesce(r.external_id, d.external_id),
               reason = r.reason,
               reason_class = r.reason_class
          from judged r
         where d.id = any (ids) and d.id = r.id
           -- Conditions that no index can serve: the rows are found by their ids.
           and case when d.flow <> wanted_flow or d.state <> 'applying' or d.lane_epoch <> r.epoch then false
                    else r.epoch = (select l.epoch from inbox.lane l
                                     where l.flow = wanted_flow and l.lane = d.lane and l.owner = me) end
        returning d.id, d.attempt, d.began_at, d.key, d.state, r.call, r.http_status, r.outcome, r.external_id, r.reason
    ), logged as (
        insert into inbox.attempt (delivery_id, attempt, began_at, call, http_status, owner, outcome, external_id,
                                   reason)
        select s.id, s.attempt, s.began_at, s.call, s.http_status, me, s.outcome, s.external_id, s.reason
          from settled s
    )
    select array_agg(s.id),
           array_agg(distinct s.key) filter (where s.key is not null
                                               and (s.state = 'applied' or s.state = 'dead' and pass_dead)),
           -- Only what fits: an answer of the target must not keep a call from being settled.
           array_agg(s.id order by s.id) filter (where s.is_link), array_agg(s.key order by s.id) filter (where s.is_link),
           array_agg(s.external_id order by s.id) filter (where s.is_link)
      into ended, freed, linked, keys, records
      from (select s.*, s.state = 'applied' and octet_length(s.key) between 1 and 255
                        and octet_length(s.external_id) between 1 and 1024 as is_link
              from settled s) s;
    if freed is not null then
        perform inbox.promote(wanted_flow, freed);
    end if;
    if linked is not null then
        select c.link_entity, c.link_system into entity, system from inbox.circuit c where c.flow = wanted_flow;
    end if;
    if entity is null then
        return query select e.id, null::text from unnest(ended) e(id);
        return;
    end if;
    return query
        select e.id, l.verdict
          from unnest(ended) e(id)
          left join xref.link(entity, system, keys, records, 'receipt', wanted_flow, null, false) l
            on linked[l.place] = e.id;
end
$$;
comment on function inbox.settle is
    'Ends calls of every kind: new state, attempt log, and the next delivery of a finished key becomes ready. Returns what was settled; a result that is missing came from an owner that has lost its lane and is void. "start_anew": it is certain that nothing took effect; what was sent is forgotten, and its key is never used again. "pass_dead": a key goes on without its dead deliveries. Where the flow has links (inbox.register_flow), a receipt links its key with the external id in this transaction, and the verdict of xref.link is returned with it. Locks the lanes it touches.';
revoke all on function inbox.settle from public;
grant execute on function inbox.settle to outbox_adapter;
