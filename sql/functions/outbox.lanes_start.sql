create or replace function outbox.lanes_start(wanted_stream text)
returns table (previous pg_snapshot, current pg_snapshot, "position" bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    oldest  pg_snapshot;
    batch   pg_snapshot;
    reached bigint;
begin
    select c.previous into oldest
      from outbox.cursor c
     where split_part(c.stream, ':', 1) = wanted_stream
     order by pg_snapshot_xmax(c.previous), pg_snapshot_xmin(c.previous),
              (select count(*) from pg_snapshot_xip(c.previous)) desc
     limit 1;
    select c.current into batch
      from outbox.cursor c
     where split_part(c.stream, ':', 1) = wanted_stream and outbox.is_within(c.previous, oldest)
     order by c.current is not null, pg_snapshot_xmax(c.current), pg_snapshot_xmin(c.current),
              (select count(*) from pg_snapshot_xip(c.current)) desc
     limit 1;
    reached := (
        select min(case when outbox.is_within(batch, c.current) then c.position else 0 end)
          from outbox.cursor c
         where split_part(c.stream, ':', 1) = wanted_stream and not outbox.is_within(batch, c.previous));
    if batch is null or coalesce(reached, 0) = 0 then
        return query select oldest, null::pg_snapshot, 0::bigint;
    else
        return query select oldest, batch, reached;
    end if;
end
$$;
comment on function outbox.lanes_start is
    'The furthest cursor behind which no lane has anything left: the oldest "previous" of all, and of the oldest batch that is open there as much as every lane has passed.';
revoke all on function outbox.lanes_start from public;
grant execute on function outbox.lanes_start to outbox_relay;
