create or replace function outbox.newest_window_end(every_seconds double precision, lag_seconds double precision)
returns timestamptz
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Decimal: in binary the end of a window can be no multiple of 1.1 s, and the window after it is the same one again.
    select to_timestamp(floor(extract(epoch from clock_timestamp() - make_interval(secs => lag_seconds))
                              / every_seconds::numeric) * every_seconds::numeric)
$$;
comment on function outbox.newest_window_end is
    'When the newest window of a reconciliation ends that is due: at a multiple of "every" (UTC), "lag" ago at least.';
revoke all on function outbox.newest_window_end from public;
