create or replace function outbox.check_lanes_change(wanted_stream text, wanted_lanes integer)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a hot standby' using errcode = 'OB003', hint = 'point postgres.url at the primary';
    end if;
    if wanted_lanes is null or wanted_lanes not between 1 and 64 then
        raise exception 'the outbox can have 1 to 64 lanes, not %', wanted_lanes
            using errcode = 'OB012', hint = 'choose a number from 1 to 64';
    end if;
    if not exists (select from outbox.cursor c where split_part(c.stream, ':', 1) = wanted_stream) then
        raise exception 'there is no stream %', wanted_stream
            using errcode = 'OB004', hint = 'run "outbox migrate"';
    end if;
    if not outbox.is_at_home() then
        raise exception 'a cursor of % does not belong to this server, which was restored or copied', wanted_stream
            using errcode = 'OB012', hint = 'run "outbox rebase" first: it shows what is uncertain and changes nothing';
    end if;
    if exists (select from outbox.cursor c
                where split_part(c.stream, ':', 1) = wanted_stream
                  and c.horizon > 0 and pg_snapshot_xmax(c.previous) = '1') then
        raise exception 'what "outbox rebase" has chosen is not published again yet'
            using errcode = 'OB012',
                  hint = 'let the relays run with the number of lanes that there is until "outbox lanes" shows no lane that is being rebased, then try again';
    end if;
end
$$;
comment on function outbox.check_lanes_change is
    'Refuses what would leave a cursor that nobody can answer for. OB003: a standby. OB004: no such stream. OB012: not now, or not so many.';
revoke all on function outbox.check_lanes_change from public;
grant execute on function outbox.check_lanes_change to outbox_relay;
