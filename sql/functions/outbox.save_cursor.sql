create or replace function outbox.save_cursor(
    wanted_stream text, own_epoch bigint, previous pg_snapshot, current pg_snapshot, "position" bigint
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update outbox.cursor c
       set previous = save_cursor.previous,
           current  = save_cursor.current,
           position = save_cursor.position,
           saved_at = now()
     where c.stream = wanted_stream and c.epoch = own_epoch;
    if not found then
        raise exception 'another relay leads %', wanted_stream using errcode = 'OB001';
    end if;
end
$$;
comment on function outbox.save_cursor is
    'Saves how far a stream is published. OB001: the epoch has moved on, somebody else leads. Touches outbox.cursor (one row).';
revoke all on function outbox.save_cursor from public;
grant execute on function outbox.save_cursor to outbox_relay;
