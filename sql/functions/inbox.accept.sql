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
    claims      text[],
    pass_dead   boolean,
    on_stale    text,
    wanted_generation integer,
    copies_of   bigint[] default null,
    deaths      integer[] default null
)
returns table (accepted integer, duplicates integer, dead integer, redriven integer, kept_dead integer, skipped integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    lanes   integer := (select count(*) from inbox.lane l where l.flow = wanted_flow);
    moved   bigint[];
    refused bigint[];
begin
    if lanes = 0 then
        raise exception 'flow % is not registered', wanted_flow using errcode = 'OB004';
    end if;
    -- Keeps settle and promote of the same keys out until commit: without it a delivery could be
    -- written as blocked just after its predecessor ended, and nobody would ever wake it.
    perform from inbox.lane l
      where l.flow = wanted_flow
        and (l.lane = any (array(select outbox.lane_of(i.key, i.sequence, lanes)::smallint
                                   from unnest(keys, sequences) i(key, sequence)))
             or l.lane = any (array(select d.lane from inbox.delivery d where d.id = any (copies_of))))
      order by l.lane
        for update;

    if exists (select from unnest(copies_of) c(id) where c.id is not null) then
        -- The copy of a dead letter came back: somebody moved it out of the dead-letter queue. One of an earlier death
        -- is a duplicate like any other.
        select array_agg(distinct d.id) into moved
          from unnest(copies_of, message_ids, deaths) i(copy_of, message_id, death)
         cross join lateral (
               select c.id from inbox.delivery c
                where c.id = i.copy_of and c.flow = wanted_flow and c.message_id = i.message_id
                  and c.state = 'dead' and c.deaths = i.death
               offset 0
               ) d;
        select count(*) filter (where r.verdict = 'done'), array_agg(r.id) filter (where r.verdict <> 'done')
          into redriven, refused
          -- Whoever moves messages has not looked into the target: what may have taken effect stays for one who has.
          from inbox.resolve(wanted_flow, moved, 'redrive', 'rabbitmq', null, null, null, false, null, false) r;
        -- What stays dead has lost its copy: it gets another one.
        update inbox.delivery d set dead_published_at = null where d.id = any (refused);
    end if;

    return query
    with incoming as materialized (
        select distinct on (i.message_id)
               i.*, count(*) over (partition by i.message_id) as copies,
               coalesce((select d.id from inbox.delivery d
                          where d.id = i.copy_of and d.flow = wanted_flow and d.message_id = i.message_id),
                        (select d.id from inbox.delivery d
                          where d.flow = wanted_flow and d.message_id = i.message_id
                            and d.generation = wanted_generation)) as known_id
          from unnest(message_ids, sequences, types, versions, keys, headers, bodies, traces, refusals, claims, copies_of)
               with ordinality i(message_id, sequence, type, version, key, headers, body, traceparent, refusal, claim,
                                 copy_of, ordinal)
         order by i.message_id, i.ordinal
    ), known as (
        update inbox.delivery d
           set copies = d.copies + i.copies
          from incoming i
         where d.id = any (array(select k.known_id from incoming k)) and d.id = i.known_id
        returning d.message_id, i.copies
    ), compared as materialized (
        select i.*,
               coalesce(i.body, outbox.payload(split_part(i.claim, '/', 1)::bigint, split_part(i.claim, '/', 2)::uuid))
                   as payload,
               i.key is not null and exists (
                   select from inbox.delivery d
                    where d.flow = wanted_flow and d.key = i.key and d.state not in ('applied', 'skipped')
                      and not d.is_passed
                      and not (d.state in ('ready', 'blocked') and d.attempt = 0 and d.sequence > i.sequence)
               ) as is_behind,
               i.key is not null and on_stale <> 'apply' and (
                   -- What was skipped and never sent took no effect; see inbox.is_overtaken.
                   exists (select from inbox.delivery d
                            where d.flow = wanted_flow and d.key = i.key and d.state in ('applied', 'skipped')
                              and d.sequence > i.sequence and (d.state = 'applied' or d.first_sent_at is not null))
                   or exists (select from inbox.delivery d
                               where d.flow = wanted_flow and d.key = i.key and d.state not in ('applied', 'skipped')
                                 and not d.is_passed and d.attempt > 0 and d.sequence > i.sequence
                                 -- Behind what is dead it can wait, and nobody needs to lose it.
                                 and not (on_stale = 'skip' and d.state = 'dead'))
               ) as is_stale
          from incoming i
         where i.known_id is null
    ), verdict as (
        select r.*,
               case when r.refusal is not null or r.payload is null then 'dead'
                    when r.is_stale then case on_stale when 'skip' then 'skipped' else 'dead' end
               end as fate
          from compared r
    ), judged as materialized (
        select v.*,
               coalesce(v.fate = 'dead' and pass_dead, false) as is_passed,
               case when v.fate is not null then v.fate
                    when v.key is null then 'ready'
                    when v.is_behind or count(*) filter (where v.fate is null or v.fate = 'dead' and not pass_dead)
                             over (partition by v.key order by v.sequence, v.ordinal
                                   rows between unbounded preceding and 1 preceding) > 0 then 'blocked'
                    else 'ready'
               end as state,
               row_number() over (order by v.ordinal) as place
          from verdict v
    ), overtaken as (
        -- A smaller sequence came late while the bigger one was still untouched: it waits now, also when the late one
        -- waits itself or is dead.
        update inbox.delivery d
           set state = 'blocked', due_at = null
         where d.id = any (array(
                   select o.id
                     from judged j
                    cross join lateral (
                          select x.id from inbox.delivery x
                           where x.flow = wanted_flow and x.key = j.key and x.state = 'ready' and not x.is_passed
                             and x.attempt = 0 and x.sequence > j.sequence
                          offset 0
                          ) o
                    where j.key is not null and j.state <> 'skipped' and not j.is_passed))
    ), inserted as (
        insert into inbox.delivery (flow, message_id, generation, sequence, type, version, key, lane, copies, state, is_passed,
                                    due_at, settled_at, reason, reason_class)
        select wanted_flow, j.message_id, wanted_generation, j.sequence, j.type, j.version, j.key,
               outbox.lane_of(j.key, j.sequence, lanes)::smallint, j.copies, j.state, j.is_passed,
               case when j.state = 'ready' then now() end,
               case when j.state in ('dead', 'skipped') then now() end,
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
        -- Ids were drawn in the order of the rows. A join would compare each row with each.
        select (select array_agg(n.id order by n.id) from inserted n)[j.place], j.traceparent, j.headers::json,
               coalesce(j.payload, '')
          from judged j
    )
    select (select count(*) from inserted)::integer,
           (coalesce((select sum(k.copies) from known k), 0)
            + coalesce((select sum(j.copies - 1) from judged j), 0) - coalesce(redriven, 0))::integer,
           (select count(*) from inserted n where n.state = 'dead')::integer,
           coalesce(redriven, 0),
           coalesce(cardinality(refused), 0),
           (select count(*) from inserted n where n.state = 'skipped')::integer;

    -- Last, and after the locks of the lanes: whoever waits for this row holds nothing that its writer still wants.
    update inbox.last_arrival a set last_at = now()
     where a.flow = wanted_flow and wanted_generation = 0 and a.last_at < now() - interval '10 seconds';
end
$$;
comment on function inbox.accept is
    'Takes a batch of messages into the inbox: new ones become ready, blocked behind an unfinished delivery of their key, dead (refused, stale, or without a payload), or skipped (stale). One that comes late holds back the later ones of its key that were ready and have not been called: they become blocked behind it, also when it waits itself or is dead and does not let its key go on. Known ones are counted as copies. A body that is null is copied from the outbox, where the claim (sequence/event id) says. "pass_dead": a key goes on without its dead deliveries. "on_stale": what came after a later event of its key was taken up is dead (park), skipped (skip) or judged like any other (apply). "copies_of", "deaths": what a dead letter''s copy says of itself; when its delivery is still dead by that death it is tried again, as by inbox.resolve, and never accepted anew; "kept_dead" are those that cannot be, or had a call without an answer before: they get another copy. "wanted_generation": 0 for what comes from the broker, else a replay''s. Commit before the ack. Locks the lanes it touches, then notes the arrival.';
revoke all on function inbox.accept from public;
grant execute on function inbox.accept to outbox_adapter;
