create or replace function inbox.resolve(
    wanted_flow   text,
    ids           bigint[],
    wanted_action text,
    by_whom       text,
    because       text,
    known_id      text,
    new_body      bytea,
    even_stale    boolean,
    rate_per_s    double precision,
    even_unanswered boolean default true
)
returns table (id bigint, verdict text, from_state text, to_state text)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
    begins timestamptz := clock_timestamp();
    freed  text[];
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane in (select d.lane from inbox.delivery d where d.flow = wanted_flow and d.id = any (ids))
      order by l.lane for update;
    if rate_per_s is not null then
        -- Behind what was spread before, also by a run that was killed, or by somebody else.
        select greatest(begins, max(r.due_at) + make_interval(secs => 1 / rate_per_s)) into begins
          from inbox.resolution r where r.flow = wanted_flow and r.due_at is not null;
    end if;
    -- A statement of its own: it sees what was committed before the lanes were free.
    return query
    with judged as materialized (
        select d.*, s.verdict, inbox.is_unanswered(d) as is_unanswered
          from inbox.delivery d
         cross join lateral inbox.verdict(d, wanted_action, even_stale, even_unanswered, new_body is not null) s(verdict)
         where d.flow = wanted_flow and d.id = any (ids)
    ), doing as materialized (
        select j.*,
               case when wanted_action in ('skip', 'discard') then 'skipped'
                    when wanted_action = 'happened' then 'applied'
                    when wanted_action <> 'not_happened' and j.key is not null
                         -- Of two that are tried again together, the later one waits.
                         and (row_number() over (partition by j.key order by j.sequence, j.id) > 1
                              or inbox.is_behind(wanted_flow, j.key, j.sequence)) then 'blocked'
                    else 'ready'
               end as next_state
          from judged j
         where j.verdict = 'done'
    ), placed as materialized (
        select p.*,
               p.next_state in ('ready', 'blocked') as begins_anew,
               -- What was refused for certain and is given up took no effect: nothing is stale because of it.
               p.next_state in ('ready', 'blocked')
               or (p.next_state = 'skipped' and p.state = 'dead' and not p.is_unanswered) as is_forgotten,
               case when p.next_state <> 'ready' then null
                    when rate_per_s is null then begins
                    else begins + make_interval(
                        secs => (count(*) filter (where p.next_state = 'ready') over (order by p.id) - 1) / rate_per_s)
               end as next_due_at
          from doing p
    ), changed as (
        update inbox.delivery d
           set state = p.next_state,
               due_at = p.next_due_at,
               settled_at = case when p.next_state in ('applied', 'skipped') then clock_timestamp() end,
               is_passed = false,
               parked_at = null,
               reason_group = null,
               dead_published_at = null,
               external_id = coalesce(known_id, d.external_id),
               reason = case when p.next_state = 'skipped' then d.reason end,
               reason_class = case when p.next_state = 'skipped' then d.reason_class end,
               failures = case when p.begins_anew then 0 else d.failures end,
               -- Nothing took effect, for certain: what was sent is forgotten, and its key is never used again.
               key_number = d.key_number + (p.begins_anew and d.first_sent_at is not null)::integer,
               first_sent_at = case when not p.is_forgotten then d.first_sent_at end,
               last_sent_at = case when not p.is_forgotten then d.last_sent_at end,
               request_sha256 = case when not p.is_forgotten then d.request_sha256 end,
               reference = case when not p.is_forgotten then d.reference end,
               job = case when not p.is_forgotten then d.job end
          from placed p
         where d.id = p.id
    ), overtaken as (
        -- A later one of the key was let go ahead and is still untouched: they change places.
        update inbox.delivery d
           set state = 'blocked', due_at = null
          from placed p
         where p.next_state = 'ready' and p.key is not null and wanted_action <> 'not_happened'
           and d.flow = wanted_flow and d.key = p.key and d.sequence > p.sequence
           and d.state = 'ready' and not d.is_passed and d.attempt = 0
           and d.id not in (select x.id from placed x)
    ), edited as (
        update inbox.message m
           set edited_body = new_body
          from placed p, inbox.message former
         where wanted_action = 'edit' and m.delivery_id = p.id and former.delivery_id = p.id
        returning m.delivery_id, sha256(coalesce(former.edited_body, former.body)) as before
    ), outdated as (
        insert into inbox.outdated_copy (delivery_id, death, flow)
        select p.id, p.deaths, wanted_flow from placed p where p.state = 'dead'
        on conflict do nothing
    ), audited as (
        insert into inbox.resolution (delivery_id, due_at, flow, action, who, why, from_state, to_state, reason,
                                      reason_class, external_id, body_sha256_before, body_sha256_after)
        select p.id, case when rate_per_s is not null then p.next_due_at end, wanted_flow, wanted_action, by_whom, because,
               p.state, p.next_state, p.reason, p.reason_class, known_id, e.before,
               case when e.delivery_id is not null then sha256(new_body) end
          from placed p left join edited e on e.delivery_id = p.id
         order by p.id
    )
    select j.id, j.verdict, j.state, p.next_state
      from judged j left join placed p on p.id = j.id
     order by j.id;

    -- Whatever was done: what ended lets its key go on, and what is tried again may be behind one that waited for it.
    select array_agg(distinct d.key) into freed
      from inbox.delivery d
     where d.flow = wanted_flow and d.id = any (ids) and d.key is not null
       and not inbox.is_active(wanted_flow, d.key);
    if freed is not null then
        perform inbox.promote(wanted_flow, freed);
    end if;
    if wanted_action = 'happened' and octet_length(known_id) between 1 and 1024 then
        perform xref.link(c.link_entity, c.link_system, array[d.key], array[known_id], 'person', by_whom, because, false)
           from inbox.circuit c
           join inbox.delivery d on d.flow = c.flow and d.id = any (ids)
          where c.flow = wanted_flow and c.link_entity is not null and d.state = 'applied'
            and d.external_id = known_id and octet_length(d.key) between 1 and 255;
    end if;
end
$$;
comment on function inbox.resolve is
    'What a person decides about deliveries, as a whole or not at all, each with its audit row: retry, edit (retry with another body), skip, discard, happened, not_happened; redrive is what RabbitMQ''s own tools did. Returns a verdict for each delivery that exists: "done", or why nothing was done (inbox.verdict). What is tried again begins anew under the next key, becomes ready (spread by "rate_per_s" on the database''s clock) or blocked behind its key; what is skipped after a certain refusal is as if it was never sent; what ends lets its key go on, as does what has to wait for one that waited for it. Where the flow has links, an external id that a person knows links the key, unless it contradicts another link. Locks the lanes it touches.';
revoke all on function inbox.resolve from public;
grant execute on function inbox.resolve to outbox_adapter;
