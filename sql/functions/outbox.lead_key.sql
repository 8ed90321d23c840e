create or replace function outbox.lead_key(wanted_stream text, lead_epoch bigint)
returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select hashtext(wanted_stream || '@' || lead_epoch)
$$;
comment on function outbox.lead_key is
    'The second number of the advisory lock that the leader of this epoch holds. With the epoch in it, the lock of a leader that was replaced, and whose session lives on, is in nobody''s way.';
revoke all on function outbox.lead_key from public;
grant execute on function outbox.lead_key to outbox_relay;
