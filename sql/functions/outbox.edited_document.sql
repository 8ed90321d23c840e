create or replace function outbox.edited_document(body bytea)
returns json
language plpgsql
immutable
as $$
begin
    return convert_from(body, 'UTF8')::json;
exception
    when data_exception then
        return null;
end
$$;
comment on function outbox.edited_document is
    'What a person wrote instead of a payload, as a document; null when it is none. Not for every row: it opens a subtransaction.';
revoke all on function outbox.edited_document from public;
