create or replace function inbox.fetch(wanted_flow text, me text, in_hand bigint[], wanted integer)
returns table (
    id bigint, lane smallint, epoch bigint, state text, sequence bigint, message_id text, type text, version integer,
    key text, attempt integer, failures integer, sent_age_seconds double precision, request_sha256 bytea,
    traceparent text, body bytea
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
begin
    return query
        select due.id, due.lane, due.epoch, due.state, due.sequence, due.message_id, due.type, due.version, due.key,
               due.attempt, due.failures,
               extract(epoch from clock_timestamp() - due.first_sent_at)::double precision,
               due.request_sha256, m.traceparent, m.body
          from (
                select d.*, l.epoch
                  from inbox.lane l
                 cross join lateral (
                       select d.* from inbox.delivery d
                        where d.flow = wanted_flow and d.lane = l.lane
                          and d.state in ('ready', 'retry', 'in_doubt') and d.due_at <= clock_timestamp()
                          and d.id <> all (in_hand)
                        order by d.due_at
                        limit wanted
                       ) d
                 where l.flow = wanted_flow and l.owner = me and l.leased_until > clock_timestamp()
                 order by d.due_at, d.sequence
                 limit wanted
               ) due
          join inbox.message m on m.delivery_id = due.id
         order by due.due_at, due.sequence;
end
$$;
comment on function inbox.fetch is
    'Reads the deliveries that may be acted on now in the caller''s lanes, oldest due first; changes nothing. Only heads of their key are ever due.';
revoke all on function inbox.fetch from public;
grant execute on function inbox.fetch to outbox_adapter;
