create or replace function outbox.join_relays(me text, lock_class integer, lease_seconds double precision)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not pg_try_advisory_lock(lock_class, hashtext('relay ' || me)) then
        raise exception 'another session is called %', me using errcode = 'OB001';
    end if;
    insert into outbox.relay (name, lock_key, held, is_open, seen_until)
    values (me, hashtext('relay ' || me), 0, true, clock_timestamp() + make_interval(secs => lease_seconds));
end
$$;
comment on function outbox.join_relays is
    'Makes this session one of those that share the lanes, for as long as it lives and calls share_lanes. OB001: the name is taken.';
revoke all on function outbox.join_relays from public;
grant execute on function outbox.join_relays to outbox_relay;
