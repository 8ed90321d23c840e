create or replace function outbox.give_up_reconciliations(
    wanted_flow text, every_seconds double precision, lag_seconds double precision
)
returns table (since timestamptz, until timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    oldest constant timestamptz :=
        outbox.newest_window_end(every_seconds, lag_seconds) - make_interval(secs => every_seconds * 6);
begin
    return query
        update outbox.reconciliation r
           set ended_at = clock_timestamp(), verdict = 'untold',
               result = json_build_object(
                   'flow', r.flow, 'from', r.since, 'to', r.until, 'verdict', 'untold', 'totals', json_build_array(),
                   'standing', json_build_object(), 'differences', json_build_array(),
                   'notes', json_build_array(format('begun %s times, and its totals could not be told: the log says why',
                                                    r.epoch)))
         where r.flow = wanted_flow and r.ended_at is null and r.until < oldest and r.leased_until < clock_timestamp()
        returning r.since, r.until;
    if found then
        perform outbox.prune_reconciliations(wanted_flow);
    end if;
end
$$;
comment on function outbox.give_up_reconciliations is
    'Ends the windows of a flow that were begun, are older than six periods and nobody holds, with the verdict "untold"; returns them. They are not asked for again.';
revoke all on function outbox.give_up_reconciliations from public;
grant execute on function outbox.give_up_reconciliations to outbox_adapter;
