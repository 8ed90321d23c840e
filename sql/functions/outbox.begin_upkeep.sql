create or replace function outbox.begin_upkeep()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
-- Steps take milliseconds: whoever comes second waits for its turn, which holds up nobody else.
set lock_timeout = '20s'
as $$
declare
    next_id  bigint;
    sealed   bigint;
    is_plain boolean;
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a hot standby' using errcode = 'OB003', hint = 'point postgres.url at the primary';
    end if;
    -- The class is outbox.postgres.migrate.LOCK_CLASS.
    perform pg_advisory_xact_lock(1869968482, 1);
    select s.seqcache = 1 and s.seqincrement = 1 and not s.seqcycle into strict is_plain
      from pg_sequence s where s.seqrelid = 'outbox.event_id_seq'::regclass;
    if not is_plain then
        raise exception 'the sequence outbox.event_id_seq caches, cycles or does not count by one'
            using errcode = 'OB010',
                  hint = 'run "alter sequence outbox.event_id_seq cache 1 increment 1 no cycle", and let every session that has written events reconnect';
    end if;
    next_id := (select s.last_value + s.is_called::integer from outbox.event_id_seq s);
    sealed := (select max(p.number + 1) << 32 from outbox.partition p where p.sealed_by is not null);
    if next_id < sealed then
        raise exception 'the sequence outbox.event_id_seq is at %, but every id below % has been given out', next_id, sealed
            using errcode = 'OB010',
                  hint = format('run "select setval(''outbox.event_id_seq'', %s, false)", and look for events with smaller ids that were written since', sealed);
    end if;
    return next_id;
end
$$;
comment on function outbox.begin_upkeep is
    'Keeps two maintainers of the partitions apart until the transaction ends, and returns the next id. Needs no transaction id. OB003: a standby. OB010: the sequence is not what sealing relies on.';
revoke all on function outbox.begin_upkeep from public;
