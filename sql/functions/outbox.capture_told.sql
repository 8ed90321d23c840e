create or replace function outbox.capture_told(told text, depth integer, first bigint, last bigint)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if last < first then
        return told;
    elsif told ~ concat('\m', depth, ':\d+-\d+$') then
        return regexp_replace(told, '\d+$', last::text);
    end if;
    return concat(nullif(told, '') || ' ', depth, ':', first, '-', last);
end
$$;
comment on function outbox.capture_told is
    'Adds a span of event ids, and the depth of triggers that it was captured at, to those of the statement under way. Neighbours of one depth become one span, so that the list stays short.';
revoke all on function outbox.capture_told from public;
