create or replace function xref.canonical_keys(entities text[], systems text[], ids text[])
returns table (place integer, canonical_key text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select w.ordinal::integer, l.canonical_key
      from unnest(entities, systems, ids) with ordinality w(entity, system, id, ordinal)
     cross join lateral (select x.canonical_key from xref.link x
                          where x.entity = w.entity and x.system = w.system and x.external_id = w.id
                          offset 0) l
$$;
comment on function xref.canonical_keys is
    'The canonical keys of external ids, by their places in what was asked for, from 1; what is not linked has no row.';
revoke all on function xref.canonical_keys from public;
grant execute on function xref.canonical_keys to outbox_adapter;
