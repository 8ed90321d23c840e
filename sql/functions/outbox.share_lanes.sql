create or replace function outbox.share_lanes(
    me text, lanes_held integer, takes_more boolean, lock_class integer, lease_seconds double precision
)
returns table (name text, held integer, is_open boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    gone text[];
begin
    update outbox.relay r
       set held = lanes_held, is_open = takes_more, seen_at = clock_timestamp(),
           seen_until = clock_timestamp() + make_interval(secs => lease_seconds)
     where r.name = me
       and ((r.held, r.is_open) is distinct from (lanes_held, takes_more)
            or r.seen_until < clock_timestamp() + make_interval(secs => lease_seconds * 0.75));
    if not found and not exists (select from outbox.relay r where r.name = me) then
        -- It was silent for so long that the others count it as gone.
        raise exception 'the relay % was taken for dead', me using errcode = 'OB001';
    end if;
    gone := array(
        select r.name from outbox.relay r
         where r.name <> me
           and (r.seen_until < clock_timestamp()
                -- Free as soon as its session ends. Shared, so that those who look are not in each other's way.
                or pg_try_advisory_xact_lock_shared(lock_class, r.lock_key)));
    if gone <> '{}' then
        delete from outbox.relay r
         using (select g.name from outbox.relay g where g.name = any (gone) for update skip locked) dead
         where r.name = dead.name;
    end if;
    return query select r.name, r.held, r.is_open from outbox.relay r where r.name <> all (gone) order by r.name;
end
$$;
comment on function outbox.share_lanes is
    'Says that this process lives, how many lanes it holds and whether it takes more, and returns all that live, with the same of each. To be called several times per lease; writes when something has changed, or four times per lease. OB001: it was silent for longer than its lease, and has to join again. Touches outbox.relay.';
revoke all on function outbox.share_lanes from public;
grant execute on function outbox.share_lanes to outbox_relay;
