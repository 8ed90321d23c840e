create or replace function outbox.forget_process(me text)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    delete from outbox.process p where p.name = me
$$;
comment on function outbox.forget_process is
    'Says that a process ends. One that is killed is forgotten when its lease is over.';
revoke all on function outbox.forget_process from public;
grant execute on function outbox.forget_process to outbox_relay, outbox_adapter, outbox_intake;
