create or replace function inbox.judge_copies(wanted_flow text, ids bigint[], message_ids text[], deaths integer[])
returns setof boolean
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
    select coalesce(d.state <> 'dead' or i.death < d.deaths, false)
      from unnest(ids, message_ids, deaths) with ordinality i(id, message_id, death, ordinal)
      left join inbox.delivery d on d.id = i.id and d.flow = wanted_flow and d.message_id = i.message_id
     order by i.ordinal
$$;
comment on function inbox.judge_copies is
    'For each copy in the dead-letter queue: whether it is outdated. Once it is, it stays so: deaths only grow. What the inbox does not know is not, as after a restore.';
revoke all on function inbox.judge_copies from public;
grant execute on function inbox.judge_copies to outbox_adapter;
