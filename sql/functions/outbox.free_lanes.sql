create or replace function outbox.free_lanes(wanted_stream text, wanted_lanes integer, lock_class integer)
returns table (lane integer)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a hot standby' using errcode = 'OB003', hint = 'point postgres.url at the primary';
    end if;
    if (select count(*) from outbox.cursor c
         where split_part(c.stream, ':', 1) = wanted_stream and c.lanes = wanted_lanes) <> wanted_lanes then
        perform outbox.no_such_stream(format('%s:0/%s', wanted_stream, wanted_lanes));
    end if;
    return query
        select c.lane
          from outbox.cursor c
         where split_part(c.stream, ':', 1) = wanted_stream
           and (c.leased_until < clock_timestamp()
                or pg_try_advisory_xact_lock_shared(lock_class, outbox.lead_key(c.stream, c.epoch)))
           and outbox.is_open_for_lead(c.stream, lock_class)
         order by c.lane;
end
$$;
comment on function outbox.free_lanes is
    'The lanes that nobody leads, or whose leader is silent: try_lead would give them. Writes nothing, and its locks end with the statement. OB003: a standby. OB011: the outbox has another number of lanes.';
revoke all on function outbox.free_lanes from public;
grant execute on function outbox.free_lanes to outbox_relay;
