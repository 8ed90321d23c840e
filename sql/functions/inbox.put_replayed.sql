create or replace function inbox.put_replayed(
    wanted_flow text,
    wanted      integer,
    are_missing boolean,
    on_stale    text,
    by_whom     text,
    sequences   bigint[],
    message_ids text[],
    types       text[],
    versions    integer[],
    keys        text[],
    edited_ids  bigint[]
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform inbox.accept(
        wanted_flow, message_ids, sequences, types, versions, keys,
        array_fill(json_build_object('x-outbox-replay', wanted)::text, array[cardinality(sequences)]),
        array_fill(null::bytea, array[cardinality(sequences)]),
        array_fill(null::text, array[cardinality(sequences)]),
        array_fill(null::text, array[cardinality(sequences)]),
        array(select s.sequence || '/' || s.message_id
                from unnest(sequences, message_ids) with ordinality s(sequence, message_id, place) order by s.place),
        false, case when are_missing then on_stale else 'apply' end, case when are_missing then 0 else wanted end);
    if edited_ids is not null then
        -- The lanes are still locked: nobody has fetched the original payload.
        with carried as (
            update inbox.message m
               set edited_body = former.edited_body
              from unnest(edited_ids) e(former_id)
              join inbox.delivery f on f.id = e.former_id
              join inbox.message former on former.delivery_id = f.id
              join inbox.delivery d on d.flow = f.flow and d.message_id = f.message_id and d.generation = wanted
             where m.delivery_id = d.id and former.edited_body is not null
            returning m.delivery_id, d.state, e.former_id, sha256(m.body) as before, sha256(m.edited_body) as after
        )
        insert into inbox.resolution (delivery_id, flow, action, who, why, from_state, to_state,
                                      body_sha256_before, body_sha256_after)
        select c.delivery_id, wanted_flow, 'edit', by_whom,
               format('replay %s carries on the edit of delivery %s', wanted, c.former_id), c.state, c.state,
               c.before, c.after
          from carried c order by c.delivery_id;
    end if;
end
$$;
comment on function inbox.put_replayed is
    'Puts events of the outbox into the inbox for a replay: with its number as their generation, or, of those that the flow never had ("are_missing"), as they would have come from the broker. What was edited is applied as it was edited ("edited_ids": the former deliveries), and its audit row says so. To be called by whoever holds all lanes of the flow.';
revoke all on function inbox.put_replayed from public;
