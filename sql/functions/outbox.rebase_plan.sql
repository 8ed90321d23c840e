create or replace function outbox.rebase_plan(
    wanted_stream text, choice text, from_sequence bigint, since timestamptz
)
returns table (
    epoch bigint, saved_age_seconds double precision, origin uuid,
    saved_cluster bigint, cluster bigint, saved_database bigint, database bigint, saved_timeline text, timeline text,
    saved_transaction bigint, newest_row_transaction bigint, transaction bigint,
    events bigint, first_sequence bigint, last_sequence bigint, sequence_value bigint,
    unpassed bigint, first_unpassed bigint, last_unpassed bigint, rejected bigint,
    chosen bigint, first_chosen bigint, last_chosen bigint,
    oldest_chosen_age_seconds double precision, newest_chosen_age_seconds double precision, chosen_types text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    started bigint := outbox.rebase_start(wanted_stream, choice, from_sequence, since);
begin
    return query
        with by_type as materialized (
            select e.type, count(*) as events, min(e.id) as first_sequence, max(e.id) as last_sequence,
                   min(e.created_at) as oldest, max(e.created_at) as newest
              from outbox.event e
             where e.id >= started
             group by e.type
        )
        select home.epoch, home.saved_age_seconds, home.origin,
               home.saved_cluster, home.cluster, home.saved_database, home.database, home.saved_timeline, home.timeline,
               home.saved_transaction, home.newest_row_transaction, home.transaction,
               (select count(*) from outbox.event),
               (select min(e.id) from outbox.event e), (select max(e.id) from outbox.event e),
               coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox.event', 'id')::regclass), 0),
               u.events, u.first_sequence, u.last_sequence,
               (select count(*) from outbox.rejected),
               chosen.events, chosen.first_sequence, chosen.last_sequence,
               extract(epoch from clock_timestamp() - chosen.oldest)::double precision,
               extract(epoch from clock_timestamp() - chosen.newest)::double precision,
               chosen.types
          from outbox.cursor_home(wanted_stream) home
         cross join outbox.unpassed(wanted_stream) u
         cross join (
               select coalesce(sum(t.events), 0)::bigint as events,
                      min(t.first_sequence) as first_sequence, max(t.last_sequence) as last_sequence,
                      min(t.oldest) as oldest, max(t.newest) as newest,
                      coalesce(json_object_agg(t.type, t.events order by t.events desc, t.type), '{}')::text as types
                 from by_type t
               ) chosen;
end
$$;
comment on function outbox.rebase_plan is
    'Everything that a person wants to know before a rebase: the saved cursor''s server and this one, what exists, what the cursor has not passed, and the range that would be published again. Changes nothing. Counts exactly: may take seconds on a large table.';
revoke all on function outbox.rebase_plan from public;
grant execute on function outbox.rebase_plan to outbox_relay;
