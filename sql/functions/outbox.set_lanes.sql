create or replace function outbox.set_lanes(wanted_stream text, wanted_lanes integer)
returns table (epoch bigint, opens_in_seconds double precision)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
#variable_conflict use_column
declare
    here     constant bigint := (select s.system_identifier from pg_control_system() s);
    database constant oid := (select d.oid from pg_database d where d.datname = current_database());
    here_now constant text := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    start    record;
    old      record;
begin
    -- Two of these, one after the other: the class is outbox.postgres.migrate.LOCK_CLASS.
    perform pg_advisory_xact_lock(1869968482, 2);
    -- From here on nobody can take the lead, renew it or save; whoever waits for a row finds it gone.
    perform from outbox.cursor c where split_part(c.stream, ':', 1) = wanted_stream order by c.stream for update;
    perform outbox.check_lanes_change(wanted_stream, wanted_lanes);
    select s.* into start from outbox.lanes_start(wanted_stream) s;
    select max(c.lanes) as lanes, max(c.epoch) + 1 as epoch, max(c.settled_epoch) as settled_epoch,
           max(c.horizon) as horizon,
           coalesce((array_agg(c.origin) filter (where c.origin is not null))[1], gen_random_uuid()) as origin,
           -- One that is not verified on this timeline makes all of them be.
           coalesce(max(c.timeline) filter (where c.timeline <> here_now), max(c.timeline)) as timeline,
           greatest(max(c.leased_until), max(c.opens_at)) as opens_at,
           jsonb_agg(to_jsonb(c) order by c.stream) as cursors
      into old
      from outbox.cursor c
     where split_part(c.stream, ':', 1) = wanted_stream;
    if old.lanes = wanted_lanes then
        return query select old.epoch - 1, 0::double precision;
        return;
    end if;
    insert into outbox.cursor (stream, lane, lanes, epoch, position, previous, current, system_identifier, timeline,
                               database_oid, origin, horizon, settled_epoch, opens_at, former_leads)
    select case when wanted_lanes = 1 then wanted_stream else format('%s:%s/%s', wanted_stream, n, wanted_lanes) end,
           n, wanted_lanes, old.epoch, start.position, start.previous, start.current, here, old.timeline,
           database, old.origin, old.horizon, old.settled_epoch, old.opens_at,
           array(select outbox.lead_key(c.stream, c.epoch)
                   from outbox.cursor c
                  where split_part(c.stream, ':', 1) = wanted_stream and c.lanes = old.lanes
                    and c.leased_until > clock_timestamp()
                 union
                 select f
                   from outbox.cursor c
                  cross join unnest(c.former_leads) f
                  where split_part(c.stream, ':', 1) = wanted_stream and c.lanes = old.lanes
                    and c.opens_at > clock_timestamp())
      from generate_series(0, wanted_lanes - 1) n;
    delete from outbox.cursor c where split_part(c.stream, ':', 1) = wanted_stream and c.lanes = old.lanes;
    insert into outbox.lanes_set (epoch, lanes_before, lanes_after, stream, cursors_before)
    values (old.epoch, old.lanes, wanted_lanes, wanted_stream, old.cursors);
    return query
        select old.epoch, case when old.opens_at > clock_timestamp()
                               then extract(epoch from old.opens_at - clock_timestamp()) else 0 end::double precision;
end
$$;
comment on function outbox.set_lanes is
    'Spreads a stream over this many cursors, as a whole or not at all. Each begins where no lane has anything left (lanes_start), with an epoch above all; the leaders of the old ones are refused at their next renewal or save, and nobody leads a new one before they are gone or their leases have run out. Nothing changes when there are so many lanes already. With a row in outbox.lanes_set. Errors as check_lanes_change; 55P03: a leader does not let go of its row. Touches outbox.cursor.';
revoke all on function outbox.set_lanes from public;
grant execute on function outbox.set_lanes to outbox_relay;
