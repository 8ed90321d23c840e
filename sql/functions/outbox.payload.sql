create or replace function outbox.payload(sequence bigint, event_id uuid)
returns bytea
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select convert_to(e.payload::text, 'UTF8')
      from outbox.event e
     where e.id = payload.sequence and e.event_id = payload.event_id
$$;
comment on function outbox.payload is
    'The exact bytes of an event''s payload, for the holder of a claim check; null when the row is not there (retention has dropped it, or it never was). Both ids must be right. Looks up the primary key.';
revoke all on function outbox.payload from public;
grant execute on function outbox.payload to outbox_relay, outbox_adapter, outbox_reader;
