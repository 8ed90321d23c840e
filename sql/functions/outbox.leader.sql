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
      from outbox.cursor c
      join pg_locks l on l.objid = outbox.lead_key(c.stream, c.epoch)::oid
      join pg_stat_activity a on a.pid = l.pid
     where wanted_stream in (c.stream, split_part(c.stream, ':', 1))
       and c.leased_until >= clock_timestamp()
       and l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid = 1869968482
       and l.database = (select d.oid from pg_database d where d.datname = current_database())
     limit 1
$$;
comment on function outbox.leader is
    'Who leads a stream, or one of its lanes, for people: the session that holds the lock of the cursor''s epoch, while its lease runs. Null: nobody, or a leader that is silent, which the next epoch fences. 1869968482 is the class of our advisory locks.';
revoke all on function outbox.leader from public;
grant execute on function outbox.leader to outbox_relay;
