create or replace function xref.external_ids(entities text[], systems text[], keys text[])
returns table (place integer, external_id text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select w.ordinal::integer, l.external_id
      from unnest(entities, systems, keys) with ordinality w(entity, system, key, ordinal)
     cross join lateral (select x.external_id from xref.link x
                          where x.entity = w.entity and x.system = w.system and x.canonical_key = w.key
                          offset 0) l
$$;
comment on function xref.external_ids is
    'The external ids of canonical keys, by their places in what was asked for, from 1; what is not linked has no row.';
revoke all on function xref.external_ids from public;
grant execute on function xref.external_ids to outbox_adapter;
