create or replace function inbox.circuit_changed_at(wanted_flow text)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select c.changed_at from inbox.circuit c where c.flow = wanted_flow;
$$;
comment on function inbox.circuit_changed_at is
    'When a flow''s circuit was last opened or closed, as inbox.fetch tells it with what is due.';
revoke all on function inbox.circuit_changed_at from public;
grant execute on function inbox.circuit_changed_at to outbox_adapter;
