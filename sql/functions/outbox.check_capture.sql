create or replace function outbox.check_capture(
    relation pg_class, type text, key text[], columns text[], exclude text[], version integer, max_payload_bytes integer
)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    called  text   := relation.oid::regclass;
    present text[] := array(select a.attname::text from pg_attribute a
                             where a.attrelid = relation.oid and a.attnum > 0 and not a.attisdropped order by a.attnum);
    unknown text   := (select n from unnest(key || columns || exclude) n where n <> all (present) limit 1);
    is_null text   := (select a.attname from pg_attribute a
                        where a.attrelid = relation.oid and a.attname = any (key) and not a.attnotnull limit 1);
begin
    if relation.oid is null then
        raise exception 'there is no such table' using errcode = 'undefined_table', hint = 'name it with its schema';
    elsif not pg_has_role(relation.relowner, 'USAGE') then
        raise exception 'only the owner of % may have it captured', called
            using errcode = 'insufficient_privilege',
                  hint = format('do it as %s', quote_ident(pg_get_userbyid(relation.relowner)));
    elsif relation.relkind not in ('r', 'p') or relation.relpersistence = 't'
       or relation.relnamespace in ('pg_catalog'::regnamespace, 'outbox'::regnamespace, 'inbox'::regnamespace) then
        raise exception '% cannot be captured', called
            using errcode = 'wrong_object_type',
                  hint = 'capture a permanent table of the application, not a view or a temporary or system table';
    elsif relation.relispartition then
        raise exception '% is a partition', called
            using errcode = 'wrong_object_type',
                  hint = format('capture the table that the application writes: outbox.capture(%L, …)',
                                pg_partition_root(relation.oid)::text);
    elsif type is null or octet_length(type) not between 1 and 240 or type ~ '[[:cntrl:][:space:]*#]|^\.|\.\.|\.$' then
        raise exception 'type % cannot begin a routing key', coalesce(quote_literal(type), 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'use words with dots between them, at most 240 bytes without spaces, * and #: events are called <type>.created, <type>.updated, <type>.deleted and <type>.truncated';
    elsif cardinality(key) = 0 or array_position(key, null) is not null then
        raise exception 'no key is given'
            using errcode = 'invalid_parameter_value',
                  hint = 'name the column that orders events, or several: key => ''{company_id,number}''';
    elsif columns is not null and exclude is not null then
        raise exception 'columns and exclude are both given'
            using errcode = 'invalid_parameter_value',
                  hint = 'columns: only these, whatever is added later; exclude: all but these, and what is added later';
    elsif unknown is not null then
        raise exception 'table % has no column %', called, quote_ident(unknown)
            using errcode = 'undefined_column', hint = format('it has: %s', array_to_string(present, ', '));
    elsif is_null is not null then
        raise exception 'column % of % may be null, and an event without a key has no order', quote_ident(is_null), called
            using errcode = 'invalid_parameter_value',
                  hint = format('take another column as key (the primary key always works), or: alter table %s alter column %I set not null',
                                called, is_null);
    elsif version is null or version < 1 then
        raise exception 'version % is not positive', coalesce(version::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'the version of a type''s contract is 1 or more';
    elsif max_payload_bytes is null or max_payload_bytes not between 1 and 134217728 then
        raise exception 'max_payload_bytes % is not between 1 and 134217728', coalesce(max_payload_bytes::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'it should not be more than rabbitmq.max_payload_bytes';
    end if;
end
$$;
comment on function outbox.check_capture is
    'Refuses what outbox.capture cannot do, naming the thing and the next step.';
revoke all on function outbox.check_capture from public;
grant execute on function outbox.check_capture to outbox_writer;
