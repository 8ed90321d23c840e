create or replace function inbox.story(wanted text, wanted_flow text, with_body boolean, count_up_to integer)
returns table (
    id bigint, flow text, state text, type text, version integer, key text, sequence bigint, message_id text,
    generation integer, accepted_at timestamptz, parked_at timestamptz, due_at timestamptz, settled_at timestamptz, copies integer,
    deaths integer, attempts integer, failures integer, reason_class text, reason text, reason_group text,
    external_id text, reference text, job text, traceparent text, headers text, body_bytes integer, body_sha256 bytea,
    is_edited boolean, is_unanswered boolean, body bytea, waits_for_id bigint, waits_for_state text, blocks bigint,
    awaits text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select d.id, d.flow, d.state, d.type, d.version, d.key, d.sequence, d.message_id, d.generation, d.accepted_at, d.parked_at,
           coalesce(d.due_at, d.look_at),
           d.settled_at, d.copies, d.deaths, d.attempt, d.failures, d.reason_class, d.reason, d.reason_group,
           d.external_id, d.reference, d.job, m.traceparent, m.headers::text,
           octet_length(coalesce(m.edited_body, m.body)), sha256(coalesce(m.edited_body, m.body)),
           m.edited_body is not null, (select inbox.is_unanswered(u) from inbox.delivery u where u.id = d.id),
           case when with_body then coalesce(m.edited_body, m.body) end,
           head.id, head.state,
           (select count(*) from (select from inbox.delivery b
                                   where b.flow = d.flow and b.key = d.key and b.sequence > d.sequence
                                     and b.state not in ('applied', 'skipped') and not b.is_passed and b.state = 'blocked'
                                     and d.state not in ('applied', 'skipped') and not d.is_passed
                                   limit count_up_to) x),
           case when d.look_at is not null or d.state = 'dead' then d.waits_for::text end
      from (select distinct l.flow from inbox.lane l where wanted_flow is null or l.flow = wanted_flow) f
     cross join lateral (
           select y.* from inbox.delivery y where y.flow = f.flow and y.message_id = wanted
           union
           select y.* from inbox.delivery y
            where y.flow = f.flow and y.id = case when wanted ~ '^[0-9]{1,18}$' then wanted::bigint end
           ) d
      join inbox.message m on m.delivery_id = d.id
      left join lateral (
           select h.id, h.state from inbox.delivery h
            where d.state = 'blocked' and h.flow = d.flow and h.key = d.key and h.state not in ('applied', 'skipped')
              and not h.is_passed and h.id <> d.id and h.state <> 'blocked'
            order by h.sequence limit 1
           ) head on true
     order by d.id
$$;
comment on function inbox.story is
    'Everything about a delivery, by its id or by its event''s id (then one row for each flow and replay). "blocks" stops at a bound. "awaits": the ids that it waits for, or waited for when it became dead; it is "due" when it is looked at again. The body only when it is asked for.';
revoke all on function inbox.story from public;
grant execute on function inbox.story to outbox_adapter;
