create or replace function outbox.take_lead(wanted_stream text)
returns table (epoch bigint, previous text, current text, "position" bigint, timeline_changed_from text)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
    saved         outbox.cursor;
    here          bigint;
    here_timeline text;
    horizon       xid8;
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a hot standby: its snapshots do not show running transactions'
            using errcode = 'OB003', hint = 'point postgres.url at the primary';
    end if;
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream for update;
    if not found then
        raise exception 'there is no stream %', wanted_stream
            using errcode = 'OB004', hint = 'run "outbox migrate"';
    end if;

    here := (select s.system_identifier from pg_control_system() s);
    here_timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    horizon := pg_snapshot_xmax(pg_current_snapshot());
    if saved.system_identifier is not null and saved.system_identifier <> here then
        raise exception 'the cursor of % was saved in another cluster (%, this is %)',
            wanted_stream, saved.system_identifier, here
            using errcode = 'OB002';
    end if;
    if pg_snapshot_xmax(saved.previous) > horizon or pg_snapshot_xmax(saved.current) > horizon then
        raise exception 'the cursor of % is at transaction %, but this server has only come to %',
            wanted_stream, greatest(pg_snapshot_xmax(saved.previous), pg_snapshot_xmax(saved.current)), horizon
            using errcode = 'OB002';
    end if;
    -- Compared with the snapshot of this very statement: whoever commits after an earlier one would look "ahead".
    if (select e.tx
          from outbox.event e
         where e.tx >= pg_snapshot_xmax(pg_current_snapshot())
         order by e.tx
         limit 1) is not null then
        raise exception 'outbox.event holds rows of transactions that this server has not come to yet (>= %)', horizon
            using errcode = 'OB002';
    end if;

    update outbox.cursor c
       set epoch = c.epoch + 1, system_identifier = here, timeline = here_timeline, saved_at = now()
     where c.stream = wanted_stream;
    return query
        select saved.epoch + 1, saved.previous::text, saved.current::text, saved.position,
               nullif(saved.timeline, here_timeline);
end
$$;
comment on function outbox.take_lead is
    'Raises the epoch of a stream and returns its cursor. To be called by try_lead, which decides who may. OB002: the cursor does not belong to this server. OB003: a standby. OB004: no such stream. Touches outbox.cursor (one row).';
revoke all on function outbox.take_lead from public;
grant execute on function outbox.take_lead to outbox_relay;
