create or replace function outbox.committed_rows(
    query text, as_role text, since timestamptz, until timestamptz, timeout_seconds double precision
)
returns setof json
language plpgsql
-- With the rights of the caller, or of the role that the settings name, and with their search_path: it is their query.
as $$
begin
    if current_setting('transaction_read_only') <> 'on' then
        raise exception 'the query of a reconciliation runs in a read-only transaction alone'
            using errcode = 'OB004', hint = 'begin one with "begin read only"';
    end if;
    perform set_config('statement_timeout', ceil(timeout_seconds * 1000)::bigint::text, true);
    if as_role is not null then
        perform set_config('role', as_role, true);
    end if;
    return query execute format(E'select to_json(t) from (%s\n) t limit 1000', query) using since, until;
end
$$;
comment on function outbox.committed_rows is
    'What a query over the ERP''s own tables says of a window ($1, $2): one SELECT, in a read-only transaction of the caller, as a role for the rest of that transaction.';
revoke all on function outbox.committed_rows from public;
grant execute on function outbox.committed_rows to outbox_adapter;
