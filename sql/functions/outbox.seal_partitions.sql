create or replace function outbox.seal_partitions(is_dry_run boolean default false)
returns table (partition text, bytes bigint, postponed text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    next_id constant bigint := outbox.begin_upkeep();
begin
    -- Drawn before the sequence was looked at, an id could be smaller than that of somebody who then got an old id.
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'outbox.seal_partitions() must be the first statement of its transaction'
            using errcode = 'OB010', hint = 'call it outside of a transaction block';
    end if;
    if not outbox.is_at_home() then
        return;
    end if;
    if is_dry_run then
        return query
            select format('event_p%s', p.number), null::bigint, null::text
              from outbox.partition p
             where p.number < next_id >> 32 and p.sealed_by is null
             order by p.number;
        return;
    end if;
    return query
        update outbox.partition p
           set closed_at = coalesce(p.closed_at, clock_timestamp()), sealed_by = pg_current_xact_id()
         where p.number < next_id >> 32 and p.sealed_by is null
        returning format('event_p%s', p.number), null::bigint, null::text;
    -- The sequence came here by itself, or whoever moved it was killed before this was written.
    update outbox.partition p set opened_at = clock_timestamp() where p.number = next_id >> 32 and p.opened_at is null;
end
$$;
comment on function outbox.seal_partitions is
    'Closes every partition that the sequence has left, and draws the transaction id that seals it: later than the look at the sequence, so later than the id of everybody who could still write there. Waits for "outbox rebase" where a cursor is another server''s. OB010: called inside a transaction that has an id already. Touches outbox.partition.';
revoke all on function outbox.seal_partitions from public;
grant execute on function outbox.seal_partitions to outbox_relay;
