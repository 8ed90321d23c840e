create or replace function outbox.verify_lead(
    wanted_stream text, own_epoch bigint, is_remembered boolean,
    epochs bigint[], sequences bigint[], event_ids uuid[]
)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    here  text := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    saved outbox.cursor;
    lost  record;
begin
    select c.* into saved from outbox.cursor c where c.stream = wanted_stream and c.epoch = own_epoch for update;
    if not found then
        raise exception 'another relay leads %', wanted_stream using errcode = 'OB001';
    end if;
    select count(*) as events, min(l.sequence) as first_sequence, max(l.sequence) as last_sequence into lost
      from outbox.lost_events(wanted_stream, epochs, sequences, event_ids) l;
    if lost.events > 0 then
        raise exception 'this server has lost transactions: % of the last % events that were published do not exist here, sequence % to %',
            lost.events, cardinality(sequences), lost.first_sequence, lost.last_sequence
            using errcode = 'OB002',
                  hint = 'Certain: every event that exists here is published once or still waits. Uncertain: receivers hold messages of transactions that never happened here, and their sequence numbers are given out again';
    end if;
    if saved.timeline <> here and not is_remembered then
        raise exception 'this server is on timeline %, the cursor of % was last verified on timeline %, and neither the broker nor this relay remembers what was published there',
            here, wanted_stream, saved.timeline
            using errcode = 'OB002',
                  hint = 'Certain: every event that exists here is published once or still waits. Uncertain: whether transactions were lost in the failover or recovery, whose messages receivers hold and whose sequence numbers are given out again';
    end if;
    update outbox.cursor c set timeline = here where c.stream = wanted_stream and c.timeline is distinct from here;
    return nullif(saved.timeline, here);
end
$$;
comment on function outbox.verify_lead is
    'Checks that what is remembered as published exists on this server, and notes its timeline: whoever leads must have this done before anything is published. Returns the former timeline if it has changed. is_remembered: false when nobody remembers anything. OB001: somebody else leads. OB002: this server has lost transactions, or may have. Touches outbox.cursor (one row).';
revoke all on function outbox.verify_lead from public;
grant execute on function outbox.verify_lead to outbox_relay;
