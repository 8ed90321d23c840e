create or replace function outbox.capture_key(captured json, names text[])
returns text
language plpgsql
immutable
-- For each row: outbox.capture_rows has pinned the search_path.
as $$
declare
    key  text;
    name text;
begin
    if cardinality(names) = 1 then
        key := captured ->> names[1];
    else
        foreach name in array names loop
            key := concat(key || '/', replace(replace(captured ->> name, '%', '%25'), '/', '%2F'));
        end loop;
    end if;
    if octet_length(key) between 1 and 512 and key !~ '[[:cntrl:]]' then
        return key;
    end if;
    return 'sha256:' || encode(sha256(convert_to(coalesce(key, ''), 'UTF8')), 'hex');
end
$$;
comment on function outbox.capture_key is
    'The key of a captured row: the column''s text; of several columns "a/b", where a percent sign or a slash inside a part is written %25 or %2F, so that different rows never share a key. What outbox.event would refuse (too long, empty, control characters) becomes its hash: order is kept, and the statement of an application that cannot be changed does not fail.';
revoke all on function outbox.capture_key from public;
