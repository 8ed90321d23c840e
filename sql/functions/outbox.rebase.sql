create or replace function outbox.rebase(
    wanted_stream text, choice text, from_sequence bigint, since timestamptz, published_up_to bigint, why text
)
returns table (epoch bigint, first_sequence bigint, horizon bigint, sequence_after bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    counter  constant regclass := pg_get_serial_sequence('outbox.event', 'id');
    here     constant bigint := (select s.system_identifier from pg_control_system() s);
    database constant oid := (select d.oid from pg_database d where d.datname = current_database());
    saved    outbox.cursor;
    moved    outbox.cursor;
    leads    text;
    started  bigint;
    newest   bigint;
    before   bigint;
    after    bigint;
    boundary pg_snapshot;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a rebase needs the isolation level read committed' using errcode = 'OB004';
    end if;
    -- From here on nobody can take the lead; whoever waits for this row sees what was decided.
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream for update;
    if not found then
        raise exception 'there is no stream %', wanted_stream
            using errcode = 'OB004', hint = 'run "outbox migrate"';
    end if;
    leads := outbox.leader(wanted_stream);
    if leads is not null then
        raise exception 'a relay leads %: %', wanted_stream, leads using errcode = 'OB006';
    end if;
    begin
        -- Waits for transactions that have written events, so that every id up to "newest" is decided.
        lock table outbox.event in share mode;
    exception
        when lock_not_available then
            raise exception 'transactions that write events did not end within %', current_setting('lock_timeout')
                using errcode = 'OB007';
    end;

    boundary := pg_current_snapshot();
    started := outbox.rebase_start(wanted_stream, choice, from_sequence, since);
    newest := coalesce((select max(e.id) from outbox.event e), 0);
    before := coalesce(pg_sequence_last_value(counter), 0);
    after := greatest(before, newest, published_up_to);
    if after > before then
        perform setval(counter, after);
    end if;
    update outbox.cursor c
       -- Far above what a relay can have reached whose leads this server has lost.
       set epoch = c.epoch + 1000000,
           settled_epoch = c.epoch + 1000000,
           previous = case when started is null then boundary else '1:1:' end,
           current = case when started is not null then boundary end,
           position = coalesce(started - 1, 0),
           horizon = newest,
           -- A copy goes its own way: the original may be alive, and what this one publishes is unknown to it.
           origin = case when (c.system_identifier, c.database_oid) is distinct from (here, database)
                         then gen_random_uuid() else c.origin end,
           system_identifier = here,
           database_oid = database,
           timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8),
           saved_at = clock_timestamp()
     where c.stream = wanted_stream
    returning c.* into moved;
    insert into outbox.rebase (epoch, first_sequence, horizon, sequence_before, sequence_after, stream, choice, reason,
                               cursor_before, cursor_after)
    values (moved.epoch, started, newest, before, after, wanted_stream, choice, why, to_jsonb(saved), to_jsonb(moved));
    return query select moved.epoch, started, newest, after;
end
$$;
comment on function outbox.rebase is
    'Makes a cursor belong to this server: rows from rebase_start up to the newest are published again, then everything that commits from now on, each once. Raises the sequence above the newest row and above published_up_to. One transaction, with a row in outbox.rebase. Keeps writers of events out for a moment; gives up after two seconds. OB004: no such stream. OB006: a relay leads. OB007: a writer does not end. Touches outbox.cursor, outbox.rebase, the sequence.';
revoke all on function outbox.rebase from public;
grant execute on function outbox.rebase to outbox_relay;
