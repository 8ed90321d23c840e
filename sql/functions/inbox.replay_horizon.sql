create or replace function inbox.replay_horizon(remembered_seconds double precision)
returns table (oldest timestamptz, is_shortened boolean, remembered_from timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
    select (select e.created_at from outbox.event e order by e.id limit 1),
           (select bool_or(p.emptied_at is not null) or min(p.number) > 0 from outbox.partition p),
           clock_timestamp() - make_interval(secs => remembered_seconds)
$$;
comment on function inbox.replay_horizon is
    'When the oldest event that is still there was written, whether retention has removed older ones, and since when the inbox remembers what it had: of an event that was written before, nobody can say that a flow never had it.';
revoke all on function inbox.replay_horizon from public;
grant execute on function inbox.replay_horizon to outbox_adapter;
