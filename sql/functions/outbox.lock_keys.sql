create or replace function outbox.lock_keys(keys text[])
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The server's lock table has room for max_locks_per_transaction (64) locks for each connection, shared by all.
    max_keys constant integer := 256;
    all_keys constant bigint  := 7236842;
    held     text             := coalesce(nullif(current_setting('outbox.ordered_keys', true), ''), '0');
begin
    if held = 'all' then
        return;
    end if;
    if held::integer + cardinality(keys) > max_keys then
        perform pg_advisory_xact_lock(all_keys);
        perform set_config('outbox.ordered_keys', 'all', true);
        return;
    end if;
    perform pg_advisory_xact_lock_shared(all_keys);
    -- In one order for all, so that two statements cannot wait for each other.
    perform pg_advisory_xact_lock(h.hash)
       from (select distinct hashtextextended(k, 7236841) as hash from unnest(keys) k order by 1) h;
    perform set_config('outbox.ordered_keys', (held::integer + cardinality(keys))::text, true);
end
$$;
comment on function outbox.lock_keys is
    'Takes an advisory lock per key until the transaction ends, in one order for all. A transaction that asks for more than 256 keys gets one lock on all keys instead: it waits for every transaction that has ordered events, and they for it, but the server''s lock table stays small.';
revoke all on function outbox.lock_keys from public;
