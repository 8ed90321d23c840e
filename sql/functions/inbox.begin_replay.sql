create or replace function inbox.begin_replay(
    wanted_flow   text,
    patterns      text[],
    wanted_key    text,
    since         timestamptz,
    until         timestamptz,
    missing_only  boolean,
    with_skipped  boolean,
    with_happened boolean,
    on_stale      text,
    rate_per_s    double precision,
    who           text,
    why           text
)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    started integer;
begin
    if not exists (select from inbox.lane l where l.flow = wanted_flow) then
        raise exception 'flow % is not known here', wanted_flow
            using errcode = 'OB004', hint = 'a flow is known once it has been consumed; "outbox status" lists them';
    end if;
    insert into inbox.replay (flow, patterns, key, since, until, missing_only, with_skipped, with_happened, on_stale,
                              rate_per_s, position, next_id, upto, planned_upto, who, why)
    select wanted_flow, patterns, wanted_key, begin_replay.since, begin_replay.until, begin_replay.missing_only,
           begin_replay.with_skipped, begin_replay.with_happened, begin_replay.on_stale, begin_replay.rate_per_s,
           coalesce(min(e.id) - 1, 0), min(e.id), coalesce(max(e.id), 0), coalesce(max(e.id), 0), begin_replay.who, begin_replay.why
      from outbox.event e
    on conflict (flow) where state = 'running' do nothing
    returning id into started;
    if started is null then
        raise exception 'a replay of flow % is running', wanted_flow
            using errcode = 'OB031',
                  hint = format('"outbox replay resume %s" goes on with it, "outbox replay cancel %s" ends it',
                                (select r.id from inbox.replay r where r.flow = wanted_flow and r.state = 'running'),
                                (select r.id from inbox.replay r where r.flow = wanted_flow and r.state = 'running'));
    end if;
    insert into inbox.replay_decision (replay_id, action, who, why, rate_per_s)
    values (started, 'start', begin_replay.who, begin_replay.why, begin_replay.rate_per_s);
    return started;
end
$$;
comment on function inbox.begin_replay is
    'Writes down who wants what applied again, how fast, and why, with the ids that exist now as its range; returns its number, which is also the generation of its deliveries. One at a time for each flow.';
revoke all on function inbox.begin_replay from public;
grant execute on function inbox.begin_replay to outbox_adapter;
