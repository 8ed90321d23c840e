create or replace function inbox.is_overtaken(
    wanted_flow text, wanted_key text, wanted_sequence bigint, wanted_generation integer, wanted_id bigint
)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return wanted_key is not null and (
               exists (
                   select from inbox.delivery d
                    where d.flow = wanted_flow and d.key = wanted_key and d.state in ('applied', 'skipped')
                      and d.sequence > wanted_sequence
                      and (d.generation >= wanted_generation or d.id > wanted_id)
                      and (d.state = 'applied' or d.first_sent_at is not null)
               ) or inbox.is_active(wanted_flow, wanted_key, wanted_sequence)
           );
end
$$;
comment on function inbox.is_overtaken is
    'Whether a later delivery of this key took effect, may have, or is about to. One that was skipped and never sent did not; of a replay, only what was replayed with it, or accepted after it, counts.';
revoke all on function inbox.is_overtaken from public;
grant execute on function inbox.is_overtaken to outbox_adapter;
