create or replace function inbox.begin_calls(
    wanted_flow text, me text, ids bigint[], epochs bigint[], hashes bytea[]
)
returns table (id bigint, attempt integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane in (select d.lane from inbox.delivery d where d.id = any (ids))
      order by l.lane for update;
    return query
        update inbox.delivery d
           set state = 'applying', lane_epoch = w.epoch, due_at = null, attempt = d.attempt + 1,
               began_at = clock_timestamp(),
               first_sent_at = coalesce(d.first_sent_at, clock_timestamp()),
               request_sha256 = coalesce(d.request_sha256, w.hash)
          from unnest(ids, epochs, hashes) w(id, epoch, hash)
          join inbox.lane l on l.flow = wanted_flow and l.owner = me and l.epoch = w.epoch
                           and l.leased_until > clock_timestamp()
         where d.id = w.id and d.flow = wanted_flow and d.lane = l.lane
           and d.state in ('ready', 'retry', 'in_doubt') and d.due_at is not null
           and (d.request_sha256 is null or d.request_sha256 = w.hash)
        returning d.id, d.attempt;
end
$$;
comment on function inbox.begin_calls is
    'Writes "applying" before the call leaves, and returns the deliveries for which that holds; the others must not be called. Refuses a request that differs from the one first sent under this key. Locks the lanes it touches.';
revoke all on function inbox.begin_calls from public;
grant execute on function inbox.begin_calls to outbox_adapter;
