create or replace function outbox.currency_at(document json, path text[])
returns text
language plpgsql
immutable
-- For each row: whoever calls it has pinned the search_path.
as $$
begin
    -- Without a path there is one sum; what is no currency is a group of its own, told as "?".
    return case when path is null then ''
                else coalesce(substring(outbox.capture_parseable(document) #>> path from '^[A-Za-z0-9._-]{1,16}$'), '?')
           end;
end
$$;
comment on function outbox.currency_at is
    'The currency at a path of a document; "?" when there is none that could be one, an empty text without a path.';
revoke all on function outbox.currency_at from public;
