create or replace function outbox.rebase_boundary(published_up_to bigint)
returns table (horizon bigint, boundary text, sequence_before bigint, sequence_after bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
    counter constant regclass := pg_get_serial_sequence('outbox.event', 'id');
    newest  bigint;
    before  bigint;
    after   bigint;
    parting text;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a rebase needs the isolation level read committed' using errcode = 'OB004';
    end if;
    begin
        -- Waits for transactions that have written events, so that every id drawn up to now is decided.
        lock table only outbox.event in share mode;
    exception
        when lock_not_available then
            raise exception 'transactions that write events did not end within %', current_setting('lock_timeout')
                using errcode = 'OB007';
    end;
    select coalesce(max(e.id), 0), pg_current_snapshot()::text into newest, parting from outbox.event e;
    before := coalesce(pg_sequence_last_value(counter), 0);
    after := greatest(before, newest, published_up_to);
    -- Here, while nobody draws an id: moved back below one that was just drawn, it would give that out again.
    if after > before then
        perform setval(counter, after);
    end if;
    return query select newest, parting, before, after;
end
$$;
comment on function outbox.rebase_boundary is
    'Parts what is there from what is to come: the newest id, below which nothing can appear any more, and a snapshot in which exactly the rows up to it are visible. Raises the sequence above the newest row and above published_up_to. Keeps writers of events out until the transaction ends, so it should be one by itself; gives up after two seconds. OB007: a writer does not end. Touches the sequence.';
revoke all on function outbox.rebase_boundary from public;
grant execute on function outbox.rebase_boundary to outbox_relay;
