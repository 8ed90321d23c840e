create or replace function inbox.dead_letters(wanted_flow text, me text, wanted integer)
returns table (
    id bigint, message_id text, sequence bigint, type text, version integer, key text, attempts integer,
    deaths integer, reason text, reason_class text, headers text, body bytea
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select d.id, d.message_id, d.sequence, d.type, d.version, d.key, d.attempt, d.deaths, d.reason,
           d.reason_class,
           m.headers::text,
           -- Looked for as text: headers may hold what json operators refuse, such as a zero character.
           case when strpos(m.headers::text, '"x-outbox-claim-check":') = 0 then m.body else '' end
      from inbox.lane l
      join inbox.delivery d on d.flow = l.flow and d.lane = l.lane
      join inbox.message m on m.delivery_id = d.id
     where l.flow = wanted_flow and l.owner = me and l.leased_until > clock_timestamp()
       and d.state = 'dead' and d.dead_published_at is null
     order by d.id
     limit wanted
$$;
comment on function inbox.dead_letters is
    'Dead deliveries in the caller''s lanes whose copy is not yet in the dead-letter queue. The copy of a claim check refers to its payload, as the message did.';
revoke all on function inbox.dead_letters from public;
grant execute on function inbox.dead_letters to outbox_adapter;
