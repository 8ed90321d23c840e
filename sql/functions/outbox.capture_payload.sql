create or replace function outbox.capture_payload(
    operation text, identity text, changed json, new json, old json, max_payload_bytes integer
)
returns json
language plpgsql
immutable
-- For each row: outbox.capture_rows has pinned the search_path.
as $$
declare
    head text   := concat('{"op":"', operation, '","identity":', identity, ',"changed":' || changed::text);
    -- Text put together, not a document rebuilt: every digit stays.
    rest text   := concat(',"new":' || new::text, ',"old":' || old::text, '}');
begin
    if octet_length(head)::bigint + octet_length(rest) > max_payload_bytes then
        rest := ',"payload_too_large":true}';
    end if;
    return head || rest;
end
$$;
comment on function outbox.capture_payload is
    'The payload of a captured change: op (created, updated, deleted), identity (the primary key''s columns), changed (names; only for updated), new (the row; not for deleted), old (deleted: the row; updated: the former values of the changed columns). Above max_payload_bytes new and old are left out and payload_too_large is true: the statement of an application that cannot be changed must not fail for it.';
revoke all on function outbox.capture_payload from public;
