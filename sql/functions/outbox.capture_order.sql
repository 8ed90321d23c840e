create or replace function outbox.capture_order(relation oid, types text[], began bigint, ended bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    told_name text    := 'outbox.told_' || relation;
    told      text    := coalesce(current_setting(told_name, true), '');
    depth     integer := pg_trigger_depth();
    own_last  bigint  := pg_sequence_last_value('outbox.event_id_seq');
begin
    if told <> '' then
        with own as materialized (
            select distinct e.key from outbox.event e where e.tx = pg_current_xact_id() and e.id > ended
        ), caused as materialized (
            select (s.found[2])::bigint as first, (s.found[3])::bigint as last
              from regexp_matches(told, '(\d+):(\d+)-(\d+)', 'g') s (found)
             where (s.found[1])::integer > depth
        ), moved as (
            delete from outbox.event e
             using own, caused
             where e.tx = pg_current_xact_id() and e.id > began and e.id <= ended
               and e.id between caused.first and caused.last and e.key = own.key and e.type = any (types)
            returning e.id, e.event_id, e.type, e.version, e.key, e.payload, e.headers
        )
        insert into outbox.event (event_id, type, version, key, payload, headers)
        select m.event_id, m.type, m.version, m.key, m.payload, m.headers from moved m order by m.id;
    end if;
    told := outbox.capture_told(told, depth, ended + 1, own_last);
    told := outbox.capture_told(told, depth + 1, own_last + 1, pg_sequence_last_value('outbox.event_id_seq'));
    perform set_config(told_name, told, true);
end
$$;
comment on function outbox.capture_order is
    'Keeps the order of a key where one statement on a table has caused others on it: an application''s trigger that changes a row while the statement that wrote the row is still under way is captured first, but happened later. Events of this very transaction that were captured between "began" and "ended" by deeper triggers, and which nobody has seen yet, get new ids behind those of the statement that has just been captured, if they share a key. Touches outbox.event; the only place where rows of it go away, and they were never committed.';
revoke all on function outbox.capture_order from public;
