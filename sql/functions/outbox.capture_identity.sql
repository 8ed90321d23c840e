create or replace function outbox.capture_identity(captured json, names text[])
returns text
language plpgsql
immutable
-- For each row: outbox.capture_rows has pinned the search_path.
as $$
declare
    members text;
    name    text;
begin
    foreach name in array names loop
        members := concat(members || ',', to_json(name)::text, ':', captured -> name);
    end loop;
    return '{' || members || '}';
end
$$;
comment on function outbox.capture_identity is
    'A JSON object of the columns that tell the rows of a captured table apart.';
revoke all on function outbox.capture_identity from public;
