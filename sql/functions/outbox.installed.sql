create or replace function outbox.installed()
returns table (name text, number integer, sha256 text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select i.name, i.number, i.sha256 from outbox_meta.installed i
$$;
comment on function outbox.installed is
    'The SQL files that "outbox migrate" has applied, with the digests of their texts, for those who may only look.';
revoke all on function outbox.installed from public;
grant execute on function outbox.installed to outbox_relay, outbox_adapter;
