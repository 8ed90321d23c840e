create or replace function once.prune(older_than interval default '90 days', max_messages integer default 1000)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    pruned integer;
begin
    with old as materialized (
        select m.consumer, m.message_id, m.key, m.sequence
          from once.message m
         where m.taken_at < now() - older_than
         order by m.taken_at
         limit max_messages
           for update skip locked
    ), last_of_key as materialized (
        select k.consumer, k.key
          from once.key k
          join old o on o.consumer = k.consumer and o.key = k.key and o.sequence = k.sequence
           for update of k skip locked
    ), forgotten as (
        delete from once.key k
         using last_of_key l
         where k.consumer = l.consumer and k.key = l.key
    )
    delete from once.message m
     using old o
     where m.consumer = o.consumer and m.message_id = o.message_id
       -- A key that somebody holds is left, and its message with it: alone it would stay for ever.
       and (exists (select from last_of_key l where l.consumer = o.consumer and l.key = o.key)
            or not exists (select from once.key k
                            where k.consumer = o.consumer and k.key = o.key and k.sequence = o.sequence));
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
comment on function once.prune is
    'Forgets at most max_messages messages that were taken longer ago than this, oldest first, and each key whose latest message is among them; returns how many messages. Call it again while it returns max_messages. Never waits. What is forgotten would be applied again: the age must be longer than a message can wait in the queue, as a dead letter and in the outbox (retention.keep, from which it may be published again) together.';
revoke all on function once.prune from public;
