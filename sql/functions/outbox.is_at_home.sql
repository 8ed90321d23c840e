create or replace function outbox.is_at_home()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select not exists (
        select
          from outbox.cursor c
         where c.system_identifier <> (select s.system_identifier from pg_control_system() s)
            or c.database_oid <> (select d.oid from pg_database d where d.datname = current_database())
            or greatest(pg_snapshot_xmax(c.previous), pg_snapshot_xmax(c.current)) > pg_snapshot_xmax(pg_current_snapshot()))
$$;
comment on function outbox.is_at_home is
    'Whether the transaction ids of every cursor are this server''s. Elsewhere they may not be compared with those that seal partitions: what nobody has published would count as passed. "outbox rebase" brings a cursor home.';
revoke all on function outbox.is_at_home from public;
grant execute on function outbox.is_at_home to outbox_relay;
