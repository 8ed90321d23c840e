create or replace function outbox.capture_rows()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- The text of a value must not depend on who writes it.
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
set intervalstyle = 'iso_8601'
set bytea_output = 'hex'
set extra_float_digits = 1
-- Compiling costs more than any capture gains.
set jit = off
as $$
declare
    settings  json    := tg_argv[0];
    type      text    := settings ->> 'type';
    version   integer := settings ->> 'version';
    max_bytes integer := settings ->> 'max_payload_bytes';
    key       text[]  := settings ->> 'key';
    identity  text[]  := settings ->> 'identity';
    columns   text[]  := settings ->> 'columns';
    exclude   text[]  := settings ->> 'exclude';
    names     text[]  := settings ->> 'names';
    open      text[]  := string_to_array(current_setting('outbox.open_' || tg_relid, true), ' ');
    place     integer;
    began     bigint;
    ended     bigint;
    emitted   bigint;
begin
    if tg_op = 'TRUNCATE' then
        insert into outbox.event (type, payload, version) values (type || '.truncated', '{"op":"truncated"}', version);
        return null;
    end if;
    if (select count(*) from pg_attribute a
         where a.attrelid = tg_relid and a.attname = any (names) and not a.attisdropped) < cardinality(names) then
        key      := outbox.capture_columns(tg_relid, key, settings, true);
        identity := outbox.capture_columns(tg_relid, identity, settings, true);
        columns  := outbox.capture_columns(tg_relid, columns, settings, false);
        exclude  := outbox.capture_columns(tg_relid, exclude, settings, false);
    end if;
    -- Taken from what outbox.capture_begin has noted: the last statement of this kind that is under way.
    place := cardinality(open);
    while place > 0 and left(open[place], 1) <> left(tg_op, 1) loop
        place := place - 1;
    end loop;
    began := substr(open[place], 2);
    open  := open[:place - 1] || open[place + 1:];
    perform set_config('outbox.open_' || tg_relid, array_to_string(open, ' '), true);
    if (settings ->> 'ordered')::boolean and not identity <@ key then
        -- Before an id is drawn. Where the key tells rows apart, the row's own lock does it.
        if tg_op <> 'DELETE' then
            perform outbox.lock_keys(array(
                select distinct outbox.capture_key(outbox.capture_parseable(row_to_json(n.*)), key) from new_rows n));
        end if;
        if tg_op <> 'INSERT' then
            perform outbox.lock_keys(array(
                select distinct outbox.capture_key(outbox.capture_parseable(row_to_json(o.*)), key) from old_rows o));
        end if;
    end if;
    ended := coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0);

    -- "n.*", as "n" would be the column of that name if the table has one. "offset 0": each row is converted once.
    if tg_op = 'INSERT' then
        insert into outbox.event (type, version, key, payload)
        select type || '.created', version, outbox.capture_key(r.captured, key),
               outbox.capture_payload('created', outbox.capture_identity(r.captured, identity), null,
                                      outbox.capture_row(r.captured, columns, exclude), null, max_bytes)
          from (select outbox.capture_parseable(row_to_json(n.*)) as captured from new_rows n offset 0) r;
    elsif tg_op = 'DELETE' then
        insert into outbox.event (type, version, key, payload)
        select type || '.deleted', version, outbox.capture_key(r.captured, key),
               outbox.capture_payload('deleted', outbox.capture_identity(r.captured, identity), null, null,
                                      outbox.capture_row(r.captured, columns, exclude), max_bytes)
          from (select outbox.capture_parseable(row_to_json(o.*)) as captured from old_rows o offset 0) r;
    else
        -- Where MERGE inserts into a partitioned table and then updates it, PostgreSQL (15.18 and others) puts the
        -- inserted row into the transition table in place of the updated one: it looks like a change of identity.
        if array_to_string(open, ' ') like '%I%'
           and exists (select from pg_class c where c.oid = tg_relid and c.relkind = 'p')
           and exists (
               select from (select row_number() over () as place, row_to_json(o.*) as captured from old_rows o) o
                 join (select row_number() over () as place, row_to_json(n.*) as captured from new_rows n) n using (place)
                where outbox.capture_identity(outbox.capture_parseable(o.captured), identity)
                      <> outbox.capture_identity(outbox.capture_parseable(n.captured), identity)) then
            raise exception 'PostgreSQL does not tell which rows of % this statement has updated', tg_relid::regclass
                using errcode = 'feature_not_supported',
                      detail = 'A MERGE that inserts into a partitioned table and then updates it reports wrong rows to triggers.',
                      hint = 'use INSERT … ON CONFLICT DO UPDATE, or an UPDATE and an INSERT';
        end if;
        -- Cascades of one statement may update a row several times: its first old and its last new image count. Both
        -- tables have one row for each update, in the order of the updates, unless a trigger of a partition swallowed
        -- a row that was moving there; then positions say nothing.
        insert into outbox.event (type, version, key, payload)
        with both_as_long as materialized (
            select (select count(*) from old_rows) = (select count(*) from new_rows) as is_so
        ), o as materialized (
            select distinct on (r.identity) r.*, max(r.place) over (partition by r.identity) as last_place
              from (select i.*, outbox.capture_identity(i.captured, identity) collate "C" as identity
                      from (select row_number() over () as place, outbox.capture_parseable(row_to_json(o.*)) as captured
                              from old_rows o offset 0) i offset 0) r
             order by r.identity, r.place
        ), n as materialized (
            select distinct on (r.identity) r.*, min(r.place) over (partition by r.identity) as first_place
              from (select i.*, outbox.capture_identity(i.captured, identity) collate "C" as identity
                      from (select row_number() over () as place, outbox.capture_parseable(row_to_json(n.*)) as captured
                              from new_rows n offset 0) i offset 0) r
             order by r.identity, r.place desc
        )
        select type || '.' || w.operation, version,
               outbox.capture_key(case when s.remains then n.captured else o.captured end, key),
               outbox.capture_payload(
                   w.operation, coalesce(n.identity, o.identity), c.changed,
                   case when s.remains then outbox.capture_row(n.captured, columns, exclude) end,
                   case w.operation when 'updated' then c.former
                                    when 'deleted' then outbox.capture_row(o.captured, columns, exclude) end,
                   max_bytes)
          from o full join n on n.identity = o.identity
         cross join both_as_long
         cross join lateral (
               select o.place is not null
                      and (n.place is null or not both_as_long.is_so or o.place <= n.first_place) as existed,
                      n.place is not null
                      and (o.place is null or not both_as_long.is_so or n.place >= o.last_place) as remains) s
         cross join lateral (
               select case when s.existed and s.remains then 'updated'
                           when s.remains then 'created' else 'deleted' end as operation) w
          left join lateral outbox.capture_changes(o.captured, n.captured, columns, exclude) c on w.operation = 'updated'
         where (s.existed or s.remains) and (w.operation <> 'updated' or c.changed is not null)
         order by s.remains, coalesce(n.place, o.place);
    end if;
    get diagnostics emitted = row_count;
    if emitted > 0 and (cardinality(open) > 0 or current_setting('outbox.told_' || tg_relid, true) <> '') then
        perform outbox.capture_order(
            tg_relid, array[type || '.created', type || '.updated', type || '.deleted'], began, ended);
    end if;
    return null;
end
$$;
comment on function outbox.capture_rows is
    'Trigger, after a statement on a captured table: turns the rows of its transition tables into events with one insert, in the order of the rows, vanished identities first. Takes the table''s columns as they are, so that one that was added, dropped or renamed since fails no statement. An update is matched by identity: an identity that is only old was deleted, one that is only new was created. Needs no right of the role that runs the statement. Touches outbox.event. See outbox.capture_payload for what an event holds.';
revoke all on function outbox.capture_rows from public;
grant execute on function outbox.capture_rows to outbox_writer;
