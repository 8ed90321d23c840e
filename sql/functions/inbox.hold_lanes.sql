create or replace function inbox.hold_lanes(wanted_flow text, me text, lease_seconds double precision)
returns table (lane smallint, epoch bigint, is_new boolean, fair_share integer, in_doubt integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    until    timestamptz := clock_timestamp() + make_interval(secs => lease_seconds);
    lanes    integer := (select count(*) from inbox.lane l where l.flow = wanted_flow);
    share    integer;
    mine     integer;
    taken    smallint[];
    doubtful integer;
begin
    insert into inbox.consumer (flow, owner, seen_until) values (wanted_flow, me, until)
    on conflict (flow, owner) do update set seen_until = excluded.seen_until;
    delete from inbox.consumer c where c.flow = wanted_flow and c.seen_until < clock_timestamp();
    share := ceil(lanes::numeric / (select count(*) from inbox.consumer c where c.flow = wanted_flow));

    perform from inbox.lane l where l.flow = wanted_flow and l.owner = me order by l.lane for update;
    update inbox.lane l set leased_until = until where l.flow = wanted_flow and l.owner = me;
    get diagnostics mine = row_count;

    with free as (
        select l.lane from inbox.lane l
         where l.flow = wanted_flow and (l.owner is null or l.leased_until < clock_timestamp())
         order by l.lane
         limit greatest(share - mine, 0)
           for update skip locked
    ), moved as (
        update inbox.lane l
           set owner = me, epoch = l.epoch + 1, leased_until = until
          from free
         where l.flow = wanted_flow and l.lane = free.lane
        returning l.lane
    )
    select array_agg(m.lane) into taken from moved m;

    -- Whoever was calling is gone or will be refused: nobody can say whether its calls took effect.
    with lost as (
        update inbox.delivery d
           set state = 'in_doubt', lane_epoch = null, due_at = clock_timestamp(),
               reason = 'the process that was calling the target died or lost its lease', reason_class = 'interrupted'
         where d.flow = wanted_flow and d.lane = any (taken) and d.state = 'applying'
        returning d.id, d.attempt, d.began_at, d.reason
    ), logged as (
        insert into inbox.attempt (delivery_id, attempt, began_at, owner, outcome, reason)
        select o.id, o.attempt, o.began_at, me, 'unknown', o.reason from lost o
    )
    select count(*) into doubtful from lost;

    return query
        select l.lane, l.epoch, coalesce(l.lane = any (taken), false), share, doubtful
          from inbox.lane l
         where l.flow = wanted_flow and l.owner = me
         order by l.lane;
end
$$;
comment on function inbox.hold_lanes is
    'Renews the caller''s leases, takes free and expired lanes up to a fair share, and puts calls that were under way in a taken lane in doubt. To be called several times per lease. Returns the lanes held; more than the share should be released when idle.';
revoke all on function inbox.hold_lanes from public;
grant execute on function inbox.hold_lanes to outbox_adapter;
