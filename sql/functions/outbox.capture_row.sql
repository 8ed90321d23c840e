create or replace function outbox.capture_row(captured json, columns text[], exclude text[])
returns json
language plpgsql
immutable
-- For each row: outbox.capture_rows has pinned the search_path.
as $$
begin
    if columns is null and exclude is null then
        return captured;
    end if;
    -- Members are copied as text, so that every digit stays.
    return (select '{' || string_agg(to_json(c.key)::text || ':' || c.value::text, ',') || '}'
              from json_each(captured) c
             where (columns is null or c.key = any (columns)) and (exclude is null or c.key <> all (exclude)));
end
$$;
comment on function outbox.capture_row is
    'A captured row with these columns only (null: all), or without those (null: none).';
revoke all on function outbox.capture_row from public;
