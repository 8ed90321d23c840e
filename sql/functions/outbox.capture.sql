create or replace function outbox.capture(
    "table"           regclass,
    type              text,
    key               text,
    columns           text[]  default null,
    exclude           text[]  default null,
    ordered           boolean default false,
    version           integer default 1,
    max_payload_bytes integer default 15728640
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
#variable_conflict use_column
declare
    relation  pg_class;
    key_names text[] := case when capture.key like '{%}' then capture.key::text[] else array[capture.key] end;
    identity  text[];
    names     text[];
    numbers   json;
    settings  json;
begin
    select c.* into relation from pg_class c where c.oid = capture."table";
    perform outbox.check_capture(relation, capture.type, key_names, capture.columns, capture.exclude, capture.version,
                                 capture.max_payload_bytes);
    -- As for a replica identity: what is unique at every moment and never null.
    select array(select a.attname::text
                   from unnest(i.indkey::smallint[]) with ordinality k (number, place)
                   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
                  where k.place <= i.indnkeyatts order by k.place)
      into identity
      from pg_index i
     where i.indrelid = capture."table" and i.indisunique and i.indimmediate and i.indisvalid
       and i.indpred is null and i.indexprs is null
       and not exists (select from unnest(i.indkey::smallint[]) with ordinality k (number, place)
                         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
                        where k.place <= i.indnkeyatts and not a.attnotnull)
     order by i.indisprimary desc, i.indisreplident desc, i.indnkeyatts, i.indexrelid
     limit 1;
    if identity is null then
        raise exception 'table % has nothing that tells its rows apart', capture."table"
            using errcode = 'invalid_table_definition',
                  hint = 'add a primary key, or a unique index on columns that are not null (not partial, not deferrable)';
    end if;

    -- Key and identity are always part of what is captured.
    select coalesce(array_agg(a.attname::text), '{}'), coalesce(json_object_agg(a.attname, a.attnum), '{}')
      into names, numbers
      from pg_attribute a
     where a.attrelid = capture."table" and a.attnum > 0 and not a.attisdropped
       and a.attname = any (key_names || identity || capture.columns || capture.exclude);
    settings := json_build_object(
        'type', capture.type, 'version', capture.version, 'ordered', capture.ordered,
        'max_payload_bytes', capture.max_payload_bytes, 'key', key_names::text, 'identity', identity::text,
        'columns', case when capture.columns is not null
                        then array(select distinct c from unnest(capture.columns || key_names || identity) c)::text end,
        'exclude', case when capture.exclude is not null
                        then array(select e from unnest(capture.exclude) e where e <> all (key_names || identity))::text end,
        'names', names::text, 'numbers', numbers);
    -- "!" comes before every other name, and triggers fire in the order of their names.
    execute format($sql$
        create or replace trigger "!outbox_begin" before insert or update or delete on %1$s
           for each statement execute function outbox.capture_begin();
        create or replace trigger "!outbox_insert" after insert on %1$s
           referencing new table as new_rows for each statement execute function outbox.capture_rows(%2$L);
        create or replace trigger "!outbox_update" after update on %1$s
           referencing old table as old_rows new table as new_rows
           for each statement execute function outbox.capture_rows(%2$L);
        create or replace trigger "!outbox_delete" after delete on %1$s
           referencing old table as old_rows for each statement execute function outbox.capture_rows(%2$L);
        create or replace trigger "!outbox_truncate" after truncate on %1$s
           for each statement execute function outbox.capture_rows(%2$L)
        $sql$, capture."table", settings);
end
$$;
comment on function outbox.capture is
    'Turns every change of a table into an event in the same transaction: <type>.created, .updated, .deleted, .truncated. "key" names the column that orders events (''{a,b}'': several). columns: only these; exclude: all but these; both leave key and primary key in. An update that changes none of them emits nothing. Called again, it replaces the settings. Statement-level triggers on this very table: for a partitioned one statements on the parent, not on a partition. Only the table''s owner may. Takes SHARE ROW EXCLUSIVE on the table for a moment and gives up after 5 s of waiting (lock_not_available): try again. The payload''s form: outbox.capture_payload.';
revoke all on function outbox.capture from public;
grant execute on function outbox.capture to outbox_writer;
