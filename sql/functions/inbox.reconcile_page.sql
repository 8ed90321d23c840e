create or replace function inbox.reconcile_page(
    wanted_flow   text,
    patterns      text[],
    since         timestamptz,
    until         timestamptz,
    amount_path   text[],
    currency_path text[],
    with_applied  boolean,
    after         bigint,
    upto          bigint,
    most          integer,
    most_listed   integer
)
returns table (
    looked_up_to bigint, place text, currency text, events bigint, amount numeric, unread bigint,
    applied_amount numeric, applied_unread bigint, sequence bigint, event_id uuid, external_id text, reference text
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
set jit = off
set row_security = off
as $$
#variable_conflict use_column
begin
    select max(s.id) into looked_up_to
      from (select e.id from outbox.event e where e.id > after and e.id <= upto order by e.id limit most) s;
    if looked_up_to is null then
        return;
    end if;
    return query
        with found as materialized (
            select s.id, s.event_id, s.external_id, s.reference, s.place, s.currency, s.amount,
                   case when s.place <> 'applied' then null
                        when s.edited_body is null then s.amount
                        else outbox.decimal_at(outbox.edited_document(s.edited_body), amount_path)
                   end as applied_amount
              from (
                   select e.id, e.event_id, d.external_id, d.reference, at.place,
                          outbox.currency_at(e.payload, currency_path) as currency,
                          outbox.decimal_at(e.payload, amount_path) as amount, m.edited_body
                     from outbox.event e
                     left join lateral (
                          -- Applied once is applied, whatever becomes of a replay.
                          select x.id, x.state, x.parked_at, x.external_id, x.reference from inbox.delivery x
                           where x.flow = wanted_flow and x.message_id = e.event_id::text
                           order by x.state = 'applied' desc, x.generation desc limit 1
                          ) d on true
                     left join inbox.message m on m.delivery_id = d.id
                    cross join lateral (
                          select case when d.state in ('applied', 'skipped', 'dead') then d.state
                                      when d.state = 'in_doubt' and d.parked_at is not null then 'in_doubt'
                                      when d.state is not null then 'waiting'
                                      when exists (select from outbox.rejected r where r.sequence = e.id) then 'rejected'
                                      when exists (
                                           select from outbox.cursor c
                                            where (c.lanes = 1 or outbox.lane_of(e.key, e.id, c.lanes) = c.lane)
                                              and not outbox.is_passed(e.id, e.tx, c.previous, c.current, c.position,
                                                                       c.horizon))
                                      then 'unpublished'
                                      else 'not_accepted' end as place
                          ) at
                    where e.id > after and e.id <= looked_up_to
                      and e.created_at >= since and e.created_at < until
                      and '.' || e.type ~ any (patterns)
                    -- Keeps what takes a payload apart from being written out twice.
                    offset 0
                   ) s
        )
        select looked_up_to, f.place, f.currency, count(*), coalesce(sum(f.amount), 0),
               count(*) filter (where amount_path is not null and f.amount is null),
               coalesce(sum(f.applied_amount), 0),
               count(*) filter (where amount_path is not null and f.place = 'applied' and f.applied_amount is null),
               null::bigint, null::uuid, null::text, null::text
          from found f group by f.place, f.currency
        union all
        (select looked_up_to, f.place, f.currency, 1::bigint, f.amount, null, f.applied_amount, null,
                f.id, f.event_id, f.external_id, f.reference
           from found f where f.place <> 'applied' order by f.id limit most_listed)
        union all
        -- In order: of several events of one record, the last one says what it is.
        (select looked_up_to, f.place, f.currency, 1::bigint, f.amount, null, f.applied_amount, null,
                f.id, f.event_id, f.external_id, f.reference
           from found f where with_applied and f.place = 'applied' order by f.id)
        union all
        -- Says how far it has looked also where nothing matched.
        select looked_up_to, null, null, 0::bigint, null, null, null, null, null, null, null, null;
end
$$;
comment on function inbox.reconcile_page is
    'Where the events stand for a flow that were written in a window, looking at no more than "most" of them above the id "after": applied, skipped, dead, in_doubt (parked), waiting (accepted, and on its way), rejected (cannot become a message), unpublished, not_accepted (published, and the flow has no delivery of it: in a queue, or lost). For each place and currency how many, the exact sum of what was committed, how many amounts cannot be read, and the same of what was applied (a person may have edited it); then rows with a "sequence", one for each event that is not applied, up to "most_listed", and with "with_applied" for each that is; both in order of "sequence". Always says up to which id it has looked; no row: the end. Reads the primary key and two unique indexes, and the payloads of what matches.';
revoke all on function inbox.reconcile_page from public;
grant execute on function inbox.reconcile_page to outbox_adapter;
