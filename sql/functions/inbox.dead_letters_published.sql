create or replace function inbox.dead_letters_published(ids bigint[], numbers integer[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
    perform from inbox.lane l
      where (l.flow, l.lane) in (select d.flow, d.lane from inbox.delivery d where d.id = any (ids))
      order by l.flow, l.lane for update;
    update inbox.delivery d set dead_published_at = clock_timestamp()
      from unnest(ids, numbers) p(id, death)
     where d.id = p.id and d.state = 'dead' and d.deaths = p.death and d.dead_published_at is null;
    -- Resolved meanwhile: whoever sweeps may have been there before this copy was.
    insert into inbox.outdated_copy (delivery_id, death, flow)
    select d.id, p.death, d.flow
      from unnest(ids, numbers) p(id, death)
      join inbox.delivery d on d.id = p.id
     where d.state <> 'dead' or d.deaths <> p.death
    on conflict (delivery_id, death) do update set noted = default;
end
$$;
comment on function inbox.dead_letters_published is
    'Notes that the broker has confirmed the copies of these deaths. A crash before this repeats the copy, under the same message id. Locks the lanes it touches.';
revoke all on function inbox.dead_letters_published from public;
grant execute on function inbox.dead_letters_published to outbox_adapter;
