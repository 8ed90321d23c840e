create or replace function outbox.lane_of(key text, sequence bigint, lanes integer)
returns integer
language sql
immutable
parallel safe
-- Without settings of its own, so that it is a part of the statement that asks: a call for each row would cost more.
as $$
    select ((case when key is null then sequence % lanes
                  else pg_catalog.hashtextextended(key, 0) % lanes end + lanes) % lanes)::integer
$$;
comment on function outbox.lane_of is
    'The lane of a key, of the relay''s lanes and of a flow''s; what has no key is spread by sequence.';
revoke all on function outbox.lane_of from public;
grant execute on function outbox.lane_of to outbox_relay, outbox_adapter;
