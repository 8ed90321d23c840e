create or replace function outbox.take_lead(wanted_stream text)
returns table (epoch bigint, previous text, current text, "position" bigint, horizon bigint, origin uuid)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
-- A policy that hides rows is an error, not an empty outbox.
set row_security = off
as $$
#variable_conflict use_column
declare
    saved         outbox.cursor;
    here          bigint;
    here_database oid;
    next_xid      xid8;
    reached       xid8;
    doubt         text;
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a hot standby: its snapshots do not show running transactions'
            using errcode = 'OB003', hint = 'point postgres.url at the primary';
    end if;
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream for update;
    if not found then
        perform outbox.no_such_stream(wanted_stream);
    end if;

    here := (select s.system_identifier from pg_control_system() s);
    here_database := (select d.oid from pg_database d where d.datname = current_database());
    next_xid := pg_snapshot_xmax(pg_current_snapshot());
    reached := greatest(pg_snapshot_xmax(saved.previous), pg_snapshot_xmax(saved.current));
    -- Compared with the snapshot of the very statement: whoever commits after an earlier one would look "ahead".
    if saved.system_identifier <> here then
        doubt := format('the cursor of %s was saved in another cluster (%s, this is %s): this database was restored or copied',
                        wanted_stream, saved.system_identifier, here);
    elsif saved.database_oid <> here_database then
        doubt := format('the cursor of %s was saved in another database of this cluster (oid %s, this is %s): this database is a copy',
                        wanted_stream, saved.database_oid, here_database);
    elsif reached > next_xid then
        doubt := format('the cursor of %s is at transaction %s, but this server has only come to %s',
                        wanted_stream, reached, next_xid);
    elsif saved.horizon = 0 and (select e.tx
                                   from outbox.event e
                                  where e.tx >= pg_snapshot_xmax(pg_current_snapshot())
                                  order by e.tx
                                  limit 1) is not null
       -- Since a rebase millions of older rows may be ahead, so only the newest is looked at.
       or saved.horizon > 0 and (select e.tx
                                   from outbox.event e
                                  where e.id > saved.horizon
                                  order by e.id desc
                                  limit 1) >= pg_snapshot_xmax(pg_current_snapshot()) then
        doubt := format('outbox.event holds rows of transactions that this server has not come to yet (>= %s)', next_xid);
    end if;
    if doubt is not null then
        raise exception '%', doubt using errcode = 'OB002', hint = (
            select case when u.events = 0
                        then 'All of its events were published. '
                        else format('Certain: what the cursor has passed was published. Uncertain: %s of its events, sequence %s to %s. ',
                                    u.events, u.first_sequence, u.last_sequence)
                   end || 'Unknown here: what was committed and published elsewhere after this copy was made'
              from outbox.unpassed(wanted_stream) u);
    end if;

    update outbox.cursor c
       set epoch = c.epoch + 1, system_identifier = here, database_oid = here_database,
           origin = coalesce(c.origin, gen_random_uuid()), saved_at = now()
     where c.stream = wanted_stream
    returning c.origin into saved.origin;
    return query
        select saved.epoch + 1, saved.previous::text, saved.current::text, saved.position, saved.horizon, saved.origin;
end
$$;
comment on function outbox.take_lead is
    'Raises the epoch of a stream and returns its cursor. To be called by try_lead, which decides who may; nothing may be published before verify_lead. OB002: the cursor does not belong to this server; the hint says what is uncertain. OB003: a standby. OB004: no such stream. OB011: another number of lanes. Touches outbox.cursor (one row).';
revoke all on function outbox.take_lead from public;
grant execute on function outbox.take_lead to outbox_relay;
