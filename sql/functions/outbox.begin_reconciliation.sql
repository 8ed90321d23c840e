create or replace function outbox.begin_reconciliation(
    wanted_flow text, every_seconds double precision, window_seconds double precision, lag_seconds double precision,
    lease_seconds double precision
)
returns table (id bigint, epoch integer, since timestamptz, until timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- Decimal: in binary the end of a window can be no multiple of 1.1 s, and the window after it is the same one again.
    every  constant numeric := every_seconds;
    newest timestamptz := to_timestamp(
        floor(extract(epoch from clock_timestamp() - make_interval(secs => lag_seconds)) / every) * every);
    known  timestamptz := (select max(r.until) from outbox.reconciliation r
                            where r.flow = wanted_flow and r.ended_at is not null);
    wanted timestamptz := newest;
begin
    if known is not null then
        -- What was due while nothing ran is made good, a few windows of it; the first one by the present schedule.
        wanted := to_timestamp((floor(extract(epoch from known) / every) + 1) * every);
        wanted := greatest(wanted, newest - make_interval(secs => every_seconds * 6));
    end if;
    if wanted > newest then
        return;
    end if;
    return query
        insert into outbox.reconciliation (flow, since, until, leased_until)
        values (wanted_flow, wanted - make_interval(secs => window_seconds), wanted,
                clock_timestamp() + make_interval(secs => lease_seconds))
        on conflict on constraint reconciliation_is_unique do update
           set epoch = outbox.reconciliation.epoch + 1, leased_until = excluded.leased_until,
               began_at = clock_timestamp()
         where outbox.reconciliation.ended_at is null and outbox.reconciliation.leased_until < clock_timestamp()
        returning id, epoch, since, until;
end
$$;
comment on function outbox.begin_reconciliation is
    'Takes the next window of a flow that is due, for as long as its lease: windows end at multiples of "every" (UTC), and are due "lag" later. No row: none is due, or another process has it. After a stop up to seven windows are made good, in order.';
revoke all on function outbox.begin_reconciliation from public;
grant execute on function outbox.begin_reconciliation to outbox_adapter;
