create or replace function inbox.window_range(since timestamptz, until timestamptz)
returns table (after bigint, upto bigint, is_cut boolean)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
    select coalesce((select min(p.number) << 32 from outbox.partition p
                      where p.emptied_at is null and (p.closed_at is null or p.closed_at >= window_range.since)), 0) - 1,
           -- An id below has been drawn at most a week after the window's end.
           coalesce((select (min(p.number) << 32) - 1 from outbox.partition p
                      where p.opened_at > window_range.until + interval '7 days'), 9223372036854775807),
           exists (select from outbox.partition p where p.emptied_at is not null and p.closed_at >= window_range.since)
           -- What was before the oldest one is dropped, and forgotten.
           or window_range.since < (select coalesce(p.opened_at, 'infinity') from outbox.partition p
                                     where p.number = (select min(o.number) from outbox.partition o) and p.number > 0)
$$;
comment on function inbox.window_range is
    'Between which ids all events are that were written from "since" to before "until": partitions that were closed before hold none of them, nor do those that were opened more than a week later (a transaction that was open for longer than that is not found). "is_cut": retention has removed some of what was written then.';
revoke all on function inbox.window_range from public;
grant execute on function inbox.window_range to outbox_adapter;
