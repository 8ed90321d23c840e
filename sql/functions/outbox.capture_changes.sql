create or replace function outbox.capture_changes(
    before json, after json, columns text[], exclude text[], out changed json, out former json
)
language plpgsql
immutable
-- For each row: outbox.capture_rows has pinned the search_path.
as $$
begin
    if before::text = after::text then
        return;
    end if;
    -- Both are of one table, with the same columns in the same order.
    select json_agg(d.name), '{' || string_agg(to_json(d.name)::text || ':' || d.former::text, ',') || '}'
      into changed, former
      from rows from (json_each(before), json_each(after)) as d (name, former, same_name, latter)
     where d.former::text <> d.latter::text
       and (columns is null or d.name = any (columns)) and (exclude is null or d.name <> all (exclude));
end
$$;
comment on function outbox.capture_changes is
    'Names and former values of the columns in which two images of a row differ, of those that are captured; null if in none.';
revoke all on function outbox.capture_changes from public;
