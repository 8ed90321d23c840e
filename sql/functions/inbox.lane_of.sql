create or replace function inbox.lane_of(key text, sequence bigint, lanes integer)
returns smallint
language sql
immutable
parallel safe
as $$
    select (case when key is null then sequence % lanes
                 else hashtextextended(key, 0) % lanes end + lanes)::bigint % lanes
$$;
comment on function inbox.lane_of is
    'The lane of a key; deliveries without a key are spread by sequence.';
revoke all on function inbox.lane_of from public;
grant execute on function inbox.lane_of to outbox_adapter;
