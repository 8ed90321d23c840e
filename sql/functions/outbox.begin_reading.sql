create or replace function outbox.begin_reading(
    previous          pg_snapshot,
    resumed           pg_snapshot,
    horizon           bigint,
    "position"        bigint,
    max_events        integer,
    max_page_bytes    bigint,
    max_payload_bytes integer
)
returns table (
    current text, stragglers text, low bigint, high bigint, floor bigint,
    id bigint, event_id text, type text, version integer, key text, payload text, payload_bytes integer,
    headers text, created_at_epoch_seconds bigint, age_seconds double precision
)
language plpgsql
-- Stable: the page is read under the snapshot that ends the batch.
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    batch record;
begin
    select * into batch
      from outbox.begin_batch(begin_reading.previous, begin_reading.resumed, begin_reading.horizon);
    if batch.low is not null or batch.stragglers <> '{}' then
        return query
            select batch.current, batch.stragglers, batch.low, batch.high, batch.floor, p.*
              from outbox.read_page(
                       begin_reading.previous, batch.current::pg_snapshot, batch.stragglers::xid8[],
                       batch.low, batch.high, greatest(begin_reading."position", batch.floor - 1),
                       begin_reading.max_events, begin_reading.max_page_bytes, begin_reading.max_payload_bytes,
                       begin_reading.horizon) p;
        if found then
            return;
        end if;
    end if;
    current := batch.current;
    stragglers := batch.stragglers;
    low := batch.low;
    high := batch.high;
    floor := batch.floor;
    return next;
end
$$;
comment on function outbox.begin_reading is
    'outbox.begin_batch, and the first page of the batch by outbox.read_page, in one round trip: each row of the page with the batch before it, one row with the batch alone when there is nothing to read. "position" counts only for a batch that is resumed, else it is 0. For a stream without lanes.';
revoke all on function outbox.begin_reading from public;
grant execute on function outbox.begin_reading to outbox_relay;
