create or replace function inbox.is_left_alone(wanted_flow text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from inbox.circuit c where c.flow = wanted_flow and c.until > clock_timestamp())
$$;
comment on function inbox.is_left_alone is
    'Whether nothing of a flow is called at the moment because its circuit is open, or half open with its probe under way.';
revoke all on function inbox.is_left_alone from public;
grant execute on function inbox.is_left_alone to outbox_adapter;
