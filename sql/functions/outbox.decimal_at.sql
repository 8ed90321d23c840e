create or replace function outbox.decimal_at(document json, path text[])
returns numeric
language plpgsql
immutable
-- For each row: whoever calls it has pinned the search_path.
as $$
declare
    found text := outbox.capture_parseable(document) #>> path;
begin
    return case when found ~ '^[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$' then found::numeric end;
end
$$;
comment on function outbox.decimal_at is
    'The number at a path of a document, exactly, also where it stands as text; null when there is none, or one with more digits than any ledger has. The same rule as decimal_of in Python.';
revoke all on function outbox.decimal_at from public;
