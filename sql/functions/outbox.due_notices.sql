create or replace function outbox.due_notices(
    wanted_route bigint, at timestamptz, repeat_seconds double precision
)
returns table (alert_id bigint, kind text, since timestamptz)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select a.id,
           case when a.over_at is not null then 'over' when n.told_at is null then 'raised'
                when a.level > n.told_level then 'grown' else 'still' end,
           case when a.over_at is not null then a.over_at when n.told_at is null then a.raised_at else n.told_at end
      from outbox.alert_notice n
      join outbox.alert a on a.id = n.alert_id
     where n.route_id = wanted_route and n.over_told_at is null
       and (a.over_at is not null or n.told_at is null
            or (a.calm_at is null
                and (a.level > n.told_level
                     or (n.told_at + make_interval(secs => repeat_seconds) <= at
                         and a.seen_at > at - interval '1 hour'))))
$$;
comment on function outbox.due_notices is
    'What a route is to be told: "raised" (nobody told it yet), "grown" (more of it than told), "still" (told so long ago), "over". An alert that came and went untold is told as over. "since" is from when on it could have been told.';
revoke all on function outbox.due_notices from public;
