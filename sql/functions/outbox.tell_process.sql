create or replace function outbox.tell_process(
    me text, program text, settings_hash text, refusal text, lease_seconds double precision
)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    delete from outbox.process p where p.seen_until < clock_timestamp() and p.name <> me;
    insert into outbox.process as p (name, program, settings_hash, refusal, refused_at, seen_until)
    values (me, program, settings_hash, left(refusal, 20000), case when refusal is not null then clock_timestamp() end,
            clock_timestamp() + make_interval(secs => lease_seconds))
    on conflict (name) do update
       set settings_hash  = excluded.settings_hash,
           settings_since = case when p.settings_hash = excluded.settings_hash then p.settings_since
                                 else clock_timestamp() end,
           refusal        = excluded.refusal,
           refused_at     = case when p.refusal is not distinct from excluded.refusal then p.refused_at
                                 else excluded.refused_at end,
           seen_until     = excluded.seen_until
$$;
comment on function outbox.tell_process is
    'Says that a process runs, by which settings, and why it has refused newer ones (null: it has not). To be called again before the lease ends; removes those that are gone.';
revoke all on function outbox.tell_process from public;
grant execute on function outbox.tell_process to outbox_relay, outbox_adapter, outbox_intake;
