create or replace function inbox.dead_letters_published(ids bigint[])
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update inbox.delivery d set dead_published_at = clock_timestamp()
     where d.id = any (ids) and d.state = 'dead' and d.dead_published_at is null
$$;
comment on function inbox.dead_letters_published is
    'Notes that the broker has confirmed the copies. A crash before this repeats the copy, under the same message id.';
revoke all on function inbox.dead_letters_published from public;
grant execute on function inbox.dead_letters_published to outbox_adapter;
