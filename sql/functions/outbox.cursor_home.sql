create or replace function outbox.cursor_home(wanted_stream text)
returns table (
    epoch bigint, saved_age_seconds double precision, origin uuid,
    saved_cluster bigint, cluster bigint, saved_database bigint, database bigint, saved_timeline text, timeline text,
    saved_transaction bigint, newest_row_transaction bigint, transaction bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
    saved outbox.cursor;
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a hot standby' using errcode = 'OB003';
    end if;
    -- Of several lanes the one that has most to explain.
    select c.* into saved
      from outbox.cursor c
     where split_part(c.stream, ':', 1) = wanted_stream
     order by (c.system_identifier <> (select s.system_identifier from pg_control_system() s)) desc nulls last,
              (c.timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8)) desc nulls last,
              greatest(pg_snapshot_xmax(c.previous), pg_snapshot_xmax(c.current)) desc, c.lane
     limit 1;
    if not found then
        raise exception 'there is no stream %', wanted_stream
            using errcode = 'OB004', hint = 'run "outbox migrate"';
    end if;
    return query
        select saved.epoch, extract(epoch from clock_timestamp() - saved.saved_at)::double precision, saved.origin,
               saved.system_identifier, (select s.system_identifier from pg_control_system() s),
               saved.database_oid::bigint,
               (select d.oid::bigint from pg_database d where d.datname = current_database()),
               saved.timeline, left(pg_walfile_name(pg_current_wal_lsn()), 8),
               greatest(pg_snapshot_xmax(saved.previous), pg_snapshot_xmax(saved.current))::text::bigint,
               -- Since a rebase millions of older rows may be ahead, so only the newest is looked at, as take_lead does.
               case when saved.horizon = 0
                    then (select e.tx::text::bigint from outbox.event e order by e.tx desc limit 1)
                    else (select e.tx::text::bigint from outbox.event e where e.id > saved.horizon
                           order by e.id desc limit 1)
               end,
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
end
$$;
comment on function outbox.cursor_home is
    'The server that the saved cursor belongs to, and this one: cluster, database, timeline, transactions; of several lanes the one that has most to explain. Changes nothing, at constant cost. OB003: a standby. OB004: no such stream.';
revoke all on function outbox.cursor_home from public;
grant execute on function outbox.cursor_home to outbox_relay;
