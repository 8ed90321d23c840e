create or replace function inbox.accept(
    wanted_flow text,
    message_ids text[],
    sequences   bigint[],
    types       text[],
    versions    integer[],
    keys        text[],
    headers     text[],
    bodies      bytea[],
    traces      text[],
    refusals    text[],
    claims      text[] default null
)
returns table (accepted integer, duplicates integer, dead integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lanes integer := (select count(*) from inbox.lane l where l.flow = wanted_flow);
begin
    if lanes = 0 then
        raise exception 'flow % is not registered', wanted_flow using errcode = 'OB004';
    end if;
    -- Keeps settle and promote of the same keys out until commit: without it a delivery could be
    -- written as blocked just after its predecessor ended, and nobody would ever wake it.
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane in (select outbox.lane_of(i.key, i.sequence, lanes)::smallint from unnest(keys, sequences) i(key, sequence))
      order by l.lane
        for update;

    return query
    with incoming as materialized (
        select distinct on (i.message_id)
               i.*, count(*) over (partition by i.message_id) as copies
          from unnest(message_ids, sequences, types, versions, keys, headers, bodies, traces, refusals, claims)
               with ordinality i(message_id, sequence, type, version, key, headers, body, traceparent, refusal, claim,
                                 ordinal)
         order by i.message_id, i.ordinal
    ), known as (
        update inbox.delivery d
           set copies = d.copies + i.copies
          from incoming i
         where d.flow = wanted_flow and d.message_id = i.message_id
        returning d.message_id, i.copies
    ), ranked as (
        select i.*,
               coalesce(i.body, outbox.payload(split_part(i.claim, '/', 1)::bigint, split_part(i.claim, '/', 2)::uuid))
                   as payload,
               row_number() over (partition by i.key order by i.sequence, i.ordinal) as rank,
               i.key is not null and exists (
                   select from inbox.delivery d
                    where d.flow = wanted_flow and d.key = i.key and d.state not in ('applied', 'skipped')
                      and not (d.state in ('ready', 'blocked') and d.attempt = 0 and d.sequence > i.sequence)
               ) as is_behind,
               i.key is not null and (
                   exists (select from inbox.delivery d
                            where d.flow = wanted_flow and d.key = i.key and d.state in ('applied', 'skipped')
                              and d.sequence > i.sequence)
                   or exists (select from inbox.delivery d
                               where d.flow = wanted_flow and d.key = i.key and d.state not in ('applied', 'skipped')
                                 and d.attempt > 0 and d.sequence > i.sequence)
               ) as is_stale
          from incoming i
         where not exists (select from inbox.delivery d where d.flow = wanted_flow and d.message_id = i.message_id)
    ), judged as (
        select r.*,
               case when r.refusal is not null or r.payload is null or r.is_stale then 'dead'
                    when r.key is null then 'ready'
                    when r.is_behind or r.rank > 1 then 'blocked'
                    else 'ready'
               end as state
          from ranked r
    ), overtaken as (
        -- A smaller sequence came late while the bigger one was still untouched: they change places.
        update inbox.delivery d
           set state = 'blocked', due_at = null
          from judged j
         where j.state = 'ready' and j.key is not null
           and d.flow = wanted_flow and d.key = j.key and d.state = 'ready' and d.attempt = 0
           and d.sequence > j.sequence
    ), inserted as (
        insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, copies, state,
                                    due_at, settled_at, reason, reason_class)
        select wanted_flow, j.message_id, j.sequence, j.type, j.version, j.key,
               outbox.lane_of(j.key, j.sequence, lanes)::smallint, j.copies, j.state,
               case when j.state = 'ready' then now() end,
               case when j.state = 'dead' then now() end,
               case when j.refusal is not null then j.refusal
                    when j.payload is null then 'its payload is not in outbox.event: retention has dropped the row, or '
                        'it is in another database'
                    when j.is_stale then 'a later event of this key was taken up before this one arrived' end,
               case when j.refusal is not null then 'not_an_envelope'
                    when j.payload is null then 'payload_gone'
                    when j.is_stale then 'stale' end
          from judged j
         order by j.ordinal
        returning id, message_id, state
    ), stored as (
        insert into inbox.message (delivery_id, traceparent, headers, body)
        select n.id, j.traceparent, j.headers::json, coalesce(j.payload, '')
          from inserted n join judged j using (message_id)
    )
    select (select count(*) from inserted)::integer,
           (coalesce((select sum(k.copies) from known k), 0)
            + coalesce((select sum(j.copies - 1) from judged j), 0))::integer,
           (select count(*) from inserted n where n.state = 'dead')::integer;
end
$$;
comment on function inbox.accept is
    'Takes a batch of messages into the inbox: new ones become ready, blocked behind an unfinished delivery of their key, or dead (refused, stale, or without a payload); known ones are counted as copies. A body that is null is copied from the outbox, where the claim (sequence/event id) says. Commit before the ack. Locks the lanes it touches.';
revoke all on function inbox.accept from public;
grant execute on function inbox.accept to outbox_adapter;
