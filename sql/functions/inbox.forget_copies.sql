create or replace function inbox.forget_copies(ids bigint[], deaths integer[], numbers bigint[])
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    delete from inbox.outdated_copy o
     using unnest(ids, deaths, numbers) i(id, death, noted)
     where o.delivery_id = i.id and o.death = i.death and o.noted = i.noted
$$;
comment on function inbox.forget_copies is
    'Notes that these copies are not in the dead-letter queue any more. Only those that were read before the queue was walked through; one that was noted again since then stays.';
revoke all on function inbox.forget_copies from public;
grant execute on function inbox.forget_copies to outbox_adapter;
