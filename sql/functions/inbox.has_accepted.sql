create or replace function inbox.has_accepted(wanted_flow text, within_seconds double precision)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        -- Along the primary key and bounded: no index has the time of a flow's deliveries, and no accept pays for one.
        select from (select d.flow, d.accepted_at from inbox.delivery d order by d.id desc limit 1000) newest
         where newest.flow = wanted_flow and newest.accepted_at > now() - make_interval(secs => within_seconds))
$$;
comment on function inbox.has_accepted is
    'Whether any process has lately taken a new message of this flow, as far as the newest 1,000 deliveries of all flows tell: a consumer that gets nothing learns that another one is the active one.';
revoke all on function inbox.has_accepted from public;
grant execute on function inbox.has_accepted to outbox_adapter;
