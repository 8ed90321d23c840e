create or replace function outbox.leader(wanted_stream text)
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select format('%s from %s, connected since %s',
                  coalesce(nullif(a.application_name, ''), 'a session'),
                  coalesce(host(a.client_addr), 'the local socket'),
                  to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
      from pg_locks l
      join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2
       and l.classid = 1869968482 and l.objid = hashtext(wanted_stream)::oid
       and l.database = (select d.oid from pg_database d where d.datname = current_database())
     limit 1
$$;
comment on function outbox.leader is
    'Who holds the lead of a stream, for people; null: nobody. 1869968482 is the class of our advisory locks.';
revoke all on function outbox.leader from public;
grant execute on function outbox.leader to outbox_relay;
