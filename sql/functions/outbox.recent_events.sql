create or replace function outbox.recent_events(
    patterns      text[],
    before        bigint,
    looking_at    integer,
    largest_bytes integer
)
returns table (
    id bigint, event_id uuid, type text, payload bytea, payload_bytes integer, looked_down_to bigint, looked_at integer
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set row_security = off
as $$
#variable_conflict use_column
begin
    select min(s.id), count(*)::integer into looked_down_to, looked_at
      from (select e.id from outbox.event e where e.id < before order by e.id desc limit looking_at) s;
    if looked_down_to is null then
        return;
    end if;
    return query
        select f.id, f.event_id, f.type, f.payload, f.payload_bytes, looked_down_to, looked_at
          from (select 1) always
          left join lateral (
               select e.id, e.event_id, e.type, e.payload_bytes,
                      case when e.payload_bytes <= largest_bytes then convert_to(e.payload::text, 'UTF8') end as payload
                 from outbox.event e
                where e.id >= looked_down_to and e.id < before and '.' || e.type ~ any (patterns)
               ) f on true
         order by f.id desc;
end
$$;
comment on function outbox.recent_events is
    'Of the newest events with ids below a bound, so many as are to be looked at: those whose type, with a dot before it, matches a pattern, newest first, and how far was looked. A payload that is larger than allowed is null. One row without an id: something was looked at, and nothing of it matches. No row: there is nothing below. Changes nothing; reads a range of the primary key.';
revoke all on function outbox.recent_events from public;
grant execute on function outbox.recent_events to outbox_relay, outbox_adapter;
