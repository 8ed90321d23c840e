create or replace function outbox.lock_holders(held regclass)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(h.who, ', ')
      from (
            select format('%s (%s, %s, open for %s s)', coalesce('process ' || l.pid, 'a prepared transaction'),
                          coalesce(a.usename, 'user unknown'), coalesce(nullif(a.application_name, ''), 'no name'),
                          coalesce(extract(epoch from clock_timestamp() - min(a.xact_start))::bigint::text, '?')) as who
              from pg_locks l
              left join pg_stat_activity a on a.pid = l.pid
             where l.locktype = 'relation'
               and l.database = (select d.oid from pg_database d where d.datname = current_database())
               and l.relation = lock_holders.held
               and l.granted
               and l.pid is distinct from pg_backend_pid()
             group by l.pid, a.usename, a.application_name
             order by min(a.xact_start)
             limit 3
           ) h
$$;
comment on function outbox.lock_holders is
    'Up to three transactions that hold a lock on a table now, the oldest first, in words. Null: none any more.';
revoke all on function outbox.lock_holders from public;
