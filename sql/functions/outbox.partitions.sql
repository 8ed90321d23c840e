create or replace function outbox.partitions()
returns table (
    partition text, number bigint, low bigint, high bigint, state text, created_at timestamptz, opened_at timestamptz,
    closed_at timestamptz, age_seconds double precision, closed_seconds double precision, bytes bigint,
    estimated_rows bigint, is_unknown_to_writers boolean
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select format('event_p%s', p.number), p.number, p.number << 32, (p.number + 1) << 32,
           case
               when a.inhrelid is null then 'detached'
               when p.emptied_at is not null then 'emptied'
               when p.sealed_by <= (select min(pg_snapshot_xmin(c.previous)) from outbox.cursor c) then 'passed'
               when p.closed_at is not null then 'closed'
               when p.number > (select s.last_value + s.is_called::integer from outbox.event_id_seq s) >> 32 then 'ahead'
               else 'open'
           end,
           p.created_at, p.opened_at, p.closed_at,
           extract(epoch from clock_timestamp() - p.opened_at)::double precision,
           extract(epoch from clock_timestamp() - p.closed_at)::double precision,
           pg_total_relation_size(t.oid), greatest(t.reltuples, 0)::bigint, p.waits_for <> '{}'
      from outbox.partition p
      left join pg_class t
        on t.relnamespace = 'outbox'::regnamespace and t.relname = format('event_p%s', p.number)
      left join pg_inherits a
        on a.inhrelid = t.oid and a.inhparent = 'outbox.event'::regclass
    union all
    select 'event_default', null, null, null,
           case when exists (select from outbox.event_default) then 'used' else 'unused' end,
           null, null, null, null, null, pg_total_relation_size(t.oid), greatest(t.reltuples, 0)::bigint, null
      from pg_class t
     where t.oid = 'outbox.event_default'::regclass
     order by 2 nulls last
$$;
comment on function outbox.partitions is
    'The partitions of outbox.event in order of id, the default one last. States: ahead, open, closed (somebody may still write into it, or not everything is published), passed (all published, nobody can write any more), emptied, detached (not a part of outbox.event any more); unused and used for the default partition.';
revoke all on function outbox.partitions from public;
grant execute on function outbox.partitions to outbox_relay;
