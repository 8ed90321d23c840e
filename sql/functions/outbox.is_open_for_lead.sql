create or replace function outbox.is_open_for_lead(wanted_stream text, lock_class integer)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select not exists (
        select
          from outbox.cursor c
         cross join unnest(c.former_leads) lead
         where c.stream = wanted_stream
           and c.opens_at > clock_timestamp()
           -- Shared, so that those who look are not in each other's way; given back when the transaction ends.
           and not pg_try_advisory_xact_lock_shared(lock_class, lead))
$$;
comment on function outbox.is_open_for_lead is
    'Whether everybody who led before the number of lanes was changed is gone, or has been silent for a lease.';
revoke all on function outbox.is_open_for_lead from public;
grant execute on function outbox.is_open_for_lead to outbox_relay;
