create or replace function outbox.relays()
returns table (name text, lanes_held integer, takes_more boolean, silent_for_seconds double precision)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select r.name, r.held, r.is_open,
           extract(epoch from clock_timestamp() - r.seen_at)::double precision
      from outbox.relay r
     where r.seen_until > clock_timestamp()
       -- 1869968482 is the class of our advisory locks; free as soon as the session of the process ends.
       and not pg_try_advisory_xact_lock_shared(1869968482, r.lock_key)
     order by r.name
$$;
comment on function outbox.relays is
    'The processes that share the lanes and live, for people. Writes nothing.';
revoke all on function outbox.relays from public;
grant execute on function outbox.relays to outbox_relay;
