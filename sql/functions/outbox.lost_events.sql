create or replace function outbox.lost_events(
    wanted_stream text, epochs bigint[], sequences bigint[], event_ids uuid[]
)
returns table ("sequence" bigint, event_id uuid)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
-- A policy that hides rows is an error, not a loss.
set row_security = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    settled bigint := (
        select max(c.settled_epoch) from outbox.cursor c where wanted_stream in (c.stream, split_part(c.stream, ':', 1)));
    newest  bigint := (select max(p.number) from outbox.partition p);
    -- By hand, older events may have been removed as well.
    oldest  bigint := (select e.id from outbox.event e order by e.id limit 1);
begin
    return query
        select r.sequence, r.event_id
          from unnest(epochs, sequences, event_ids) r(epoch, sequence, event_id)
         where r.epoch >= settled
           and r.sequence >= coalesce(oldest, 0)
           -- A partition that is empty or gone is so because its time was over.
           and (r.sequence >> 32 > newest
                or exists (select from outbox.partition p where p.number = r.sequence >> 32 and p.emptied_at is null))
           and not exists (select from outbox.event e where e.id = r.sequence and e.event_id = r.event_id)
         order by r.sequence;
end
$$;
comment on function outbox.lost_events is
    'Which of these events, remembered as published by leaders of these epochs, are not in the table: their transactions are lost, and receivers hold messages of something that never happened here. Without those that a person has settled with "outbox rebase", and those older than the table.';
revoke all on function outbox.lost_events from public;
grant execute on function outbox.lost_events to outbox_relay;
