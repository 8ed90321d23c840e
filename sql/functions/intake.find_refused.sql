create or replace function intake.find_refused(
    source   text,
    since    timestamptz,
    reason   text,
    max_rows integer
)
returns setof intake.refused
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select r.*
      from intake.refused r
     where (find_refused.source is null or r.source = find_refused.source)
       and (find_refused.since is null or r.refused_at >= find_refused.since)
       and (find_refused.reason is null or r.reason = find_refused.reason)
     order by r.id desc
     limit max_rows;
$$;
comment on function intake.find_refused is
    'Refused requests, newest first: of a source, since a time, for a reason; null: of all.';
revoke all on function intake.find_refused from public;
grant execute on function intake.find_refused to outbox_intake;
