create or replace function outbox.capture_columns(relation oid, names text[], settings json, is_needed boolean)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    present text[] := array(select a.attname::text from pg_attribute a
                             where a.attrelid = relation and a.attnum > 0 and not a.attisdropped);
    name    text;
    renamed text;
    found   text[] := case when names is not null then '{}'::text[] end;
begin
    foreach name in array coalesce(names, '{}') loop
        renamed := null;
        if name <> all (present) then
            select a.attname into renamed from pg_attribute a
             where a.attrelid = relation and not a.attisdropped
               and a.attnum = (settings -> 'numbers' ->> name)::smallint;
            if renamed is null and is_needed then
                raise exception 'table % is captured by its column %, which is gone', relation::regclass, quote_ident(name)
                    using errcode = 'undefined_column',
                          hint = format('run outbox.capture(%1$L, …) again with another key, or outbox.release_capture(%1$L)',
                                        relation::regclass::text);
            end if;
        end if;
        found := found || coalesce(renamed, case when name = any (present) then name end);
    end loop;
    return array_remove(found, null);
end
$$;
comment on function outbox.capture_columns is
    'The present names of columns that a capture was given. By name, as after a restore the numbers may be others; by number where a name is gone, as a column may have been renamed. One that is gone altogether is left out, unless no event can be made without it: undefined_column.';
revoke all on function outbox.capture_columns from public;
