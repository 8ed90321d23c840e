create or replace function outbox.no_such_stream(wanted_stream text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    base   constant text    := split_part(wanted_stream, ':', 1);
    wanted constant integer := coalesce(nullif(split_part(split_part(wanted_stream, ':', 2), '/', 2), '')::integer, 1);
    actual          integer := (select max(c.lanes) from outbox.cursor c where split_part(c.stream, ':', 1) = base);
begin
    if actual is null then
        raise exception 'there is no stream %', wanted_stream
            using errcode = 'OB004', hint = 'run "outbox migrate"';
    end if;
    raise exception 'the outbox has % lane(s) in this database, and this process was started with relay.lanes: %', actual, wanted
        using errcode = 'OB011',
              hint = format('set relay.lanes (OUTBOX_RELAY_LANES) to %s and start it again; to have %s lane(s), "outbox lanes set %s"', actual, wanted, wanted);
end
$$;
comment on function outbox.no_such_stream is
    'Says why there is no cursor of this name, and never returns. OB004: the outbox has none at all. OB011: it has another number of lanes.';
revoke all on function outbox.no_such_stream from public;
grant execute on function outbox.no_such_stream to outbox_relay;
