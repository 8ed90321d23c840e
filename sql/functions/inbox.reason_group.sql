create or replace function inbox.reason_group(flow text, reason_class text, reason text)
returns text
language sql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select left(encode(sha256(convert_to(concat_ws(e'\n', flow, inbox.cause(reason_class, reason)), 'UTF8')), 'hex'), 10)
$$;
comment on function inbox.reason_group is
    'The id of a group of parked deliveries: of one flow, with one cause (inbox.cause). The same on every server and in every release that has the same inbox.cause.';
revoke all on function inbox.reason_group from public;
grant execute on function inbox.reason_group to outbox_adapter;
