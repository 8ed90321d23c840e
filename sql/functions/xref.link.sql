create or replace function xref.link(
    wanted_entity text, wanted_system text, keys text[], ids text[], origin text, by_whom text, reason text,
    may_replace boolean
)
returns table (place integer, verdict text, former_id text, former_key text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    wanted record;
begin
    -- One at a time for each entity and system: two that link the same records in another order, or take each other's
    -- links away, would wait for each other in a circle.
    perform pg_advisory_xact_lock(1869968482, hashtext('xref ' || wanted_entity || ' ' || wanted_system));
    for wanted in
        select i.key, i.id, i.ordinal::integer as place from unnest(keys, ids) with ordinality i(key, id, ordinal)
         order by i.ordinal
    loop
        place := wanted.place;
        verdict := 'linked';
        former_id := null;
        former_key := null;
        loop
            insert into xref.link (entity, system, canonical_key, external_id, source, linked_by)
            values (wanted_entity, wanted_system, wanted.key, wanted.id, origin, by_whom)
                on conflict do nothing;
            exit when found;
            -- Who was first has committed, or the insert would have waited.
            former_id := (select l.external_id from xref.link l
                           where l.entity = wanted_entity and l.system = wanted_system and l.canonical_key = wanted.key);
            former_key := (select l.canonical_key from xref.link l
                            where l.entity = wanted_entity and l.system = wanted_system and l.external_id = wanted.id
                              and l.canonical_key <> wanted.key);
            if former_id = wanted.id then
                verdict := 'known';
                former_id := null;
                exit;
            elsif may_replace then
                verdict := 'replaced';
                delete from xref.link l
                 where l.entity = wanted_entity and l.system = wanted_system
                   and (l.canonical_key = wanted.key or l.external_id = wanted.id);
            elsif former_id is not null or former_key is not null then
                verdict := case when former_id is not null then 'key_taken' else 'id_taken' end;
                exit;
            end if;
        end loop;
        -- A target that says the same with each event is written down once.
        if verdict <> 'known' and not (verdict in ('key_taken', 'id_taken') and exists (
               select from (select c.action, c.external_id, c.former_id, c.former_key from xref.change c
                             where c.entity = wanted_entity and c.system = wanted_system
                               and c.canonical_key = wanted.key
                             order by c.id desc limit 1) last
                where (last.action, last.external_id) = ('conflict', wanted.id)
                  and last.former_id is not distinct from former_id
                  and last.former_key is not distinct from former_key)) then
            insert into xref.change (entity, system, canonical_key, external_id, former_id, former_key, action, source,
                                     who, why)
            values (wanted_entity, wanted_system, wanted.key, wanted.id, former_id, former_key,
                    case verdict when 'linked' then 'link' when 'replaced' then 'replace' else 'conflict' end,
                    origin, by_whom, reason);
        end if;
        return next;
    end loop;
end
$$;
comment on function xref.link is
    'Notes which external id stands for which canonical key, pair by pair: "linked" is new, "known" was so before, "key_taken" and "id_taken" contradict another link and are refused, with what is there; with "may_replace" what is there goes ("replaced"). Everything but "known" leaves a row in xref.change, a contradiction that is repeated only one. "place" counts from 1 in the order given, in which they are noted. Holds a lock on the entity in the system until the transaction ends.';
revoke all on function xref.link from public;
grant execute on function xref.link to outbox_adapter;
