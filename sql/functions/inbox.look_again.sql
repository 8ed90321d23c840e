create or replace function inbox.look_again(
    wanted_flow text, me text, ids bigint[], epochs bigint[], pauses_seconds double precision[], reasons text[]
)
returns setof bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    at timestamptz;
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane = any (array(select d.lane from inbox.delivery d where d.id = any (ids)))
      order by l.lane for update;
    at := clock_timestamp();
    return query
        update inbox.delivery d
           set look_at = at + make_interval(secs => r.pause_seconds),
               due_at = case when r.pause_seconds is null then at end,
               reason = r.reason
          from unnest(ids, epochs, pauses_seconds, reasons) r(id, epoch, pause_seconds, reason)
         where d.id = any (ids) and d.id = r.id
           -- Conditions that no index can serve: the rows are found by their ids.
           and case when d.flow <> wanted_flow or d.look_at is null then false
                    else r.epoch = (select l.epoch from inbox.lane l
                                     where l.flow = wanted_flow and l.lane = d.lane and l.owner = me
                                       and l.leased_until > at) end
        returning d.id;
end
$$;
comment on function inbox.look_again is
    'Ends a look at deliveries that wait for ids: they are looked at again after a pause, or without one they are due now, in their place. Returns those of which that holds; the others belong to somebody else, or do not wait any more. Locks the lanes it touches.';
revoke all on function inbox.look_again from public;
grant execute on function inbox.look_again to outbox_adapter;
