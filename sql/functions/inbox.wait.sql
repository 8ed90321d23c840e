create or replace function inbox.wait(
    wanted_flow    text,
    me             text,
    ids            bigint[],
    epochs         bigint[],
    pauses_seconds double precision[],
    within_seconds double precision[],
    wanted_ids     text[],
    reasons        text[]
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
           set due_at = null, look_at = at + make_interval(secs => r.pause_seconds),
               waits_since = coalesce(d.waits_since, at),
               waits_until = coalesce(d.waits_since, at) + make_interval(secs => r.within_seconds),
               waits_for = r.wanted::jsonb, reason = r.reason, reason_class = 'waits'
          from unnest(ids, epochs, pauses_seconds, within_seconds, wanted_ids, reasons)
               r(id, epoch, pause_seconds, within_seconds, wanted, reason)
         where d.id = any (ids) and d.id = r.id
           -- Conditions that no index can serve: the rows are found by their ids.
           and case when d.flow <> wanted_flow or d.due_at is null or d.state not in ('ready', 'retry') then false
                    else r.epoch = (select l.epoch from inbox.lane l
                                     where l.flow = wanted_flow and l.lane = d.lane and l.owner = me
                                       and l.leased_until > at) end
        returning d.id;
end
$$;
comment on function inbox.wait is
    'Lets deliveries of which nothing has taken effect wait for ids of other systems: they keep their state and their place, are not due, and are looked at again after a pause (inbox.waits). "within_seconds" counts from when an id was first found missing, and goes on where the delivery has waited before. "wanted_ids": JSON, for each a list of {entity, system, key, to}; "to" is id (of our key) or key (of an id). Returns what waits now; the others belong to somebody else. Locks the lanes it touches.';
revoke all on function inbox.wait from public;
grant execute on function inbox.wait to outbox_adapter;
