create or replace function inbox.begin_calls(
    wanted_flow text,
    me          text,
    ids         bigint[],
    epochs      bigint[],
    calls       text[],
    hashes      bytea[],
    refs        text[],
    versions    text[],
    may_differ  boolean[],
    start_anew  boolean[]
)
returns table (id bigint, attempt integer)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    probe bigint;
begin
    perform from inbox.lane l
      where l.flow = wanted_flow
        and l.lane = any (array(select d.lane from inbox.delivery d where d.id = any (ids)))
      order by l.lane for update;
    if exists (select from inbox.circuit c where c.flow = wanted_flow and c.state <> 'closed') then
        -- One call of all processes is the probe: this one, if it may begin at all.
        select ids[1] into probe from inbox.circuit c
         where c.flow = wanted_flow and c.state <> 'closed' and c.until <= clock_timestamp()
           for update;
        if not found then
            return;
        end if;
    end if;
    return query
        update inbox.delivery d
           set state = 'applying', lane_epoch = w.epoch, due_at = null, attempt = d.attempt + 1,
               began_at = clock_timestamp(),
               first_sent_at = case when w.call <> 'send' then d.first_sent_at
                                    when w.starts_anew then clock_timestamp()
                                    else coalesce(d.first_sent_at, clock_timestamp()) end,
               last_sent_at = case when w.call = 'send' then clock_timestamp() else d.last_sent_at end,
               request_sha256 = case when w.call = 'send' then w.hash else d.request_sha256 end,
               reference = case when w.call = 'send' then w.reference else d.reference end,
               key_number = d.key_number + w.starts_anew::integer,
               adapter_version = case when w.call = 'send' then w.version else d.adapter_version end
          from unnest(ids, epochs, calls, hashes, refs, versions, may_differ, start_anew)
               w(id, epoch, call, hash, reference, version, may_differ, starts_anew)
         where d.id = any (ids) and d.id = w.id and (probe is null or w.id = probe)
           -- Conditions that no index can serve: one of what is due would be read as a whole, and that may be a backlog.
           and case when d.flow <> wanted_flow or d.state not in ('ready', 'retry', 'in_doubt') or d.due_at is null
                    then false
                    when w.epoch is distinct from (select l.epoch from inbox.lane l
                                                    where l.flow = wanted_flow and l.lane = d.lane and l.owner = me
                                                      and l.leased_until > clock_timestamp())
                    then false
                    when w.call = 'send'
                    then d.request_sha256 is null or d.request_sha256 = w.hash
                         or (w.may_differ and d.reference = w.reference)
                         or (w.starts_anew and d.state = 'retry')
                    else d.state = 'in_doubt' end
        returning d.id, d.attempt;
    if found and probe is not null then
        -- If its process dies, another one is sent after a minute.
        update inbox.circuit c
           set state = 'half_open', probe = ids[1], until = clock_timestamp() + interval '1 minute'
         where c.flow = wanted_flow;
    end if;
end
$$;
comment on function inbox.begin_calls is
    'Writes "applying" before the call leaves, and returns the deliveries for which that holds; the others must not be called. "calls": send, look_up or poll; only a delivery in doubt is asked about. Refuses a request that differs from the one first sent under this key; with "may_differ" one that names another record. "start_anew": under the next key, when every answer so far said that nothing was done. While the flow''s circuit is not closed, only the first is begun, as its probe, when it is time for one. Locks the lanes it touches.';
revoke all on function inbox.begin_calls from public;
grant execute on function inbox.begin_calls to outbox_adapter;
