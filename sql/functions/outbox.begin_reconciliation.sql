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
    every  constant numeric := every_seconds;
    newest constant timestamptz := outbox.newest_window_end(every_seconds, lag_seconds);
    known  timestamptz := (select max(r.until) from outbox.reconciliation r where r.flow = wanted_flow);
    wanted timestamptz := newest;
begin
    if known is not null then
        -- What was due while nothing ran is made good, a few windows of it; the first one by the present schedule.
        wanted := to_timestamp((floor(extract(epoch from known) / every) + 1) * every);
        wanted := greatest(wanted, newest - make_interval(secs => every_seconds * 6));
    end if;
    -- New ones come first: those that the target did not tell, asked again and again, would hold them up.
    if wanted <= newest then
        return query
            insert into outbox.reconciliation (flow, since, until, leased_until)
            values (wanted_flow, wanted - make_interval(secs => window_seconds), wanted,
                    clock_timestamp() + make_interval(secs => lease_seconds))
            on conflict on constraint reconciliation_is_unique do nothing
            returning id, epoch, since, until;
        if found then
            return;
        end if;
    end if;
    return query
        update outbox.reconciliation u
           set epoch = u.epoch + 1, began_at = clock_timestamp(),
               leased_until = clock_timestamp() + make_interval(secs => lease_seconds)
         where u.id = (select r.id from outbox.reconciliation r
                        where r.flow = wanted_flow and r.ended_at is null and r.leased_until < clock_timestamp()
                          and r.until >= newest - make_interval(secs => every_seconds * 6)
                        order by r.leased_until, r.until
                        limit 1 for update skip locked)
        returning u.id, u.epoch, u.since, u.until;
end
$$;
comment on function outbox.begin_reconciliation is
    'Takes the next window of a flow, for as long as its lease: one that is due and was never begun (windows end at multiples of "every" (UTC), and are due "lag" later), in order, else one of the last seven that was begun and did not come to its end, as the one longest ago. No row: there is none, or other processes have them. After a stop up to seven windows are made good.';
revoke all on function outbox.begin_reconciliation from public;
grant execute on function outbox.begin_reconciliation to outbox_adapter;
