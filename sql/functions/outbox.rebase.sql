create or replace function outbox.rebase(
    wanted_stream text, choice text, from_sequence bigint, since timestamptz,
    newest bigint, boundary pg_snapshot, sequence_before bigint, sequence_after bigint, why text
)
returns table (epoch bigint, first_sequence bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    here     constant bigint := (select s.system_identifier from pg_control_system() s);
    database constant oid := (select d.oid from pg_database d where d.datname = current_database());
    -- Above every lane's.
    newest_epoch bigint;
    new_origin   constant uuid := gen_random_uuid();
    saved    jsonb;
    moved    jsonb;
    leads    text;
    started  bigint;
begin
    -- From here on nobody can take the lead; whoever waits for this row sees what was decided.
    perform from outbox.cursor c where split_part(c.stream, ':', 1) = wanted_stream order by c.stream for update;
    if not found then
        raise exception 'there is no stream %', wanted_stream
            using errcode = 'OB004', hint = 'run "outbox migrate"';
    end if;
    leads := outbox.leader(wanted_stream);
    if leads is not null then
        raise exception 'a relay leads %: %', wanted_stream, leads using errcode = 'OB006';
    end if;
    if exists (select from outbox.cursor c where split_part(c.stream, ':', 1) = wanted_stream
                  and not outbox.is_open_for_lead(c.stream, 1869968482)) then
        raise exception 'a relay that led before the number of lanes was changed is not gone yet' using errcode = 'OB006';
    end if;
    started := outbox.rebase_start(wanted_stream, choice, from_sequence, since);
    if started > newest then
        -- It came meanwhile, and is read as new.
        started := null;
    end if;
    select max(c.epoch), jsonb_agg(to_jsonb(c) order by c.lane) into newest_epoch, saved
      from outbox.cursor c where split_part(c.stream, ':', 1) = wanted_stream;
    update outbox.cursor c
       -- Far above what a relay can have reached whose leads this server has lost.
       set epoch = newest_epoch + 1000000,
           settled_epoch = newest_epoch + 1000000,
           previous = case when started is null then boundary else '1:1:' end,
           current = case when started is not null then boundary end,
           position = coalesce(started - 1, 0),
           horizon = newest,
           -- A copy goes its own way: the original may be alive, and what this one publishes is unknown to it.
           origin = case when (c.system_identifier, c.database_oid) is distinct from (here, database)
                         then new_origin else c.origin end,
           system_identifier = here,
           database_oid = database,
           timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8),
           saved_at = clock_timestamp()
     where split_part(c.stream, ':', 1) = wanted_stream;
    select jsonb_agg(to_jsonb(c) order by c.lane) into moved
      from outbox.cursor c where split_part(c.stream, ':', 1) = wanted_stream;
    -- The transaction ids that sealed them may be another server's: the keeper draws new ones.
    update outbox.partition p set sealed_by = null where p.emptied_at is null and p.sealed_by is not null;
    insert into outbox.rebase (epoch, first_sequence, horizon, sequence_before, sequence_after, stream, choice, reason,
                               cursor_before, cursor_after)
    values (newest_epoch + 1000000, started, newest, rebase.sequence_before, rebase.sequence_after, wanted_stream, choice, why,
            -- One lane as one cursor.
            case jsonb_array_length(saved) when 1 then saved -> 0 else saved end,
            case jsonb_array_length(moved) when 1 then moved -> 0 else moved end);
    return query select newest_epoch + 1000000, started;
end
$$;
comment on function outbox.rebase is
    'Makes the cursors of all lanes belong to this server: rows from rebase_start up to "newest" are published again, then everything that is not visible in "boundary", each once; both, and the sequence for the audit, are rebase_boundary''s. With a row in outbox.rebase. OB004: no such stream. OB006: a relay leads. Touches outbox.cursor, outbox.rebase (one row), outbox.partition (unsealed, unless emptied).';
revoke all on function outbox.rebase from public;
grant execute on function outbox.rebase to outbox_relay;
