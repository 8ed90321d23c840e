create or replace function outbox.capture_parseable(captured json)
returns json
language plpgsql
immutable
-- For each row: outbox.capture_rows has pinned the search_path.
as $$
begin
    if captured::text not like all (array['%\\u0000%', '%\\ud%', '%\\uD%']) then
        return captured;
    end if;
    return regexp_replace(
        captured::text,
        -- An escape begins behind an even number of backslashes. A zero, the first half of a pair without a second, or
        -- the second without a first.
        '(?<!\\)((?:\\\\)*)(?:\\u0000|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])'
        '|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})',
        '\1\\ufffd', 'g');
end
$$;
comment on function outbox.capture_parseable is
    'A row as JSON that PostgreSQL can take apart. A column of type json may hold escapes that no text can (a zero character, half of a surrogate pair); they become the replacement character, as the statement that wrote them must not fail.';
revoke all on function outbox.capture_parseable from public;
