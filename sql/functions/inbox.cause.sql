create or replace function inbox.cause(reason_class text, reason text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    told text := left(reason, 1000);
begin
    told := regexp_replace(told, '[[:xdigit:]]{8}(-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}', '<id>', 'g');
    -- Mapping names the field in quotes, and never a value.
    if reason_class <> 'mapping' then
        told := regexp_replace(told, '(?<![[:alnum:]])''[^'']*''(?![[:alnum:]])', '<text>', 'g');
        -- Strings of a JSON answer are the target's own words and tell causes apart; in prose they are values.
        told := regexp_replace(told, '([{,:[]\s*"[^"]*")|"[^"]*"', '\1', 'g');
    end if;
    told := regexp_replace(told, '[^\s"''<>(),;:]+@[^\s"''<>(),;:]+', '<text>', 'g');
    told := regexp_replace(
        told, '\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?( ?(Z|UTC|[+-]\d\d:?\d\d))?)?', '<time>', 'g');
    told := regexp_replace(told, '\m(0[xX][[:xdigit:]]+|(?=[a-fA-F]*\d)[[:xdigit:]]{8,})\M', '<hex>', 'g');
    told := regexp_replace(told, '\m(?=[A-Za-z+=]*\d)[A-Za-z0-9+=]{20,}', '<token>', 'g');
    told := regexp_replace(told, '\d+([.,]\d+)*', 'N', 'g');
    told := regexp_replace(told, '\s+', ' ', 'g');
    -- The one number that is a cause.
    return concat_ws(' ', substring(reason from '(?:answered|status|HTTP|code)\W{0,3}([1-5]\d\d)\M'), reason_class, told);
end
$$;
comment on function inbox.cause is
    'What is left of a reason without the values that differ from message to message: ids, quoted values, mail addresses, times, hex, long tokens, numbers. The answer''s status stays. Deterministic; only what is parked is asked for.';
revoke all on function inbox.cause from public;
grant execute on function inbox.cause to outbox_adapter;
