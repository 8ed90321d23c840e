create or replace function outbox.empty_partitions(keep interval, is_dry_run boolean default false)
returns table (partition text, bytes bigint, postponed text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
-- What is looked for under a lock is found by an index, whatever the statistics say.
set enable_seqscan = off
set enable_sort = off
set jit = off
as $$
declare
    kept_from    bigint;
    last_default bigint;
    due          record;
    has_rows     boolean;
begin
    perform outbox.begin_upkeep();
    kept_from := (select max(p.number + 1) << 32
                    from outbox.partition p
                   where p.closed_at < clock_timestamp() - keep
                     and p.sealed_by <= (select min(pg_snapshot_xmin(c.previous)) from outbox.cursor c));
    if kept_from is null or not outbox.is_at_home() then
        return;
    end if;
    -- Apart from the loop: a query that is under way would keep the table from being truncated.
    last_default := (select max(e.id) from outbox.event_default e);
    for due in
        select p.partition as name, p.number, s.sealed_by
          from outbox.partitions() p
          join outbox.partition s on s.number = coalesce(p.number, (kept_from >> 32) - 1)
         where (p.state = 'passed' and p.high <= kept_from)
            or (p.state = 'used' and last_default < kept_from)
         order by p.number
    loop
        partition := due.name;
        postponed := null;
        bytes := pg_total_relation_size(format('outbox.%I', due.name)::regclass);
        if not is_dry_run then
            begin
                -- Inserts touch the partition of their id only, the relay's reads are short: nobody waits behind this.
                execute format('lock table only outbox.%I in access exclusive mode nowait', due.name);
                -- What cannot be, and would be lost: ids drawn before the seal and used by a later transaction.
                execute format('select (select e.tx >= $1 from outbox.%1$I e order by e.tx desc limit 1)'
                               ' or (select e.id >= $2 from outbox.%1$I e order by e.id desc limit 1)', due.name)
                    into has_rows using due.sealed_by, kept_from;
                if has_rows then
                    postponed := 'it holds events that were written after it was sealed, against the rules: nobody '
                        'has read them; copy them into new events, then delete them';
                else
                    execute format('truncate table only outbox.%I', due.name);
                    update outbox.partition p set emptied_at = clock_timestamp() where p.number = due.number;
                end if;
            exception when lock_not_available then
                postponed := format('it is locked by %s',
                    coalesce(outbox.lock_holders(format('outbox.%I', due.name)::regclass), 'somebody who has just gone'));
                -- From the front only: whoever reads from there can tell by its next event whether anything is gone.
                return next;
                return;
            end;
        end if;
        return next;
    end loop;
end
$$;
comment on function outbox.empty_partitions is
    'Truncates the partitions that every cursor has passed and that were closed longer ago than "keep". Nothing is, where a cursor is another server''s, before "outbox rebase". Decided again under the lock of each; one that is locked ends the round ("postponed" tells by whom). An insert never waits for it. Touches outbox.partition.';
revoke all on function outbox.empty_partitions from public;
grant execute on function outbox.empty_partitions to outbox_relay;
