create or replace function inbox.forget_copies(ids bigint[], deaths integer[])
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    delete from inbox.outdated_copy o
     using unnest(ids, deaths) i(id, death)
     where o.delivery_id = i.id and o.death = i.death
$$;
comment on function inbox.forget_copies is
    'Notes that these copies are not in the dead-letter queue any more. Only those that were read before the queue was walked through.';
revoke all on function inbox.forget_copies from public;
grant execute on function inbox.forget_copies to outbox_adapter;
