create or replace function outbox.prune_emitted(older_than interval, max_keys integer default 1000)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    pruned integer;
begin
    delete from outbox.emitted e
     using (select o.idempotency_key
              from outbox.emitted o
             where o.created_at < now() - older_than
             order by o.created_at
             limit max_keys
               for update skip locked) old
     where e.idempotency_key = old.idempotency_key;
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
comment on function outbox.prune_emitted is
    'Forgets at most max_keys idempotency keys that are older than this, oldest first, and returns how many; call it again while it returns max_keys. Never waits. To be called by whoever enforces the retention of events, with the same age: a key must be remembered for as long as a caller may repeat its call.';
revoke all on function outbox.prune_emitted from public;
grant execute on function outbox.prune_emitted to outbox_relay;
