create or replace function outbox.is_within(older pg_snapshot, newer pg_snapshot)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select (pg_snapshot_xmax(older), pg_snapshot_xmin(older), - (select count(*) from pg_snapshot_xip(older)))
        <= (pg_snapshot_xmax(newer), pg_snapshot_xmin(newer), - (select count(*) from pg_snapshot_xip(newer)))
$$;
comment on function outbox.is_within is
    'Whether everything visible in one snapshot is visible in the other. Both must be of one server: its snapshots follow each other, with an xmax and an xmin that never go back, and of two with the same xmax the later one has fewer members.';
revoke all on function outbox.is_within from public;
grant execute on function outbox.is_within to outbox_relay;
