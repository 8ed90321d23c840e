create or replace function outbox.published_below(previous pg_snapshot)
returns bigint
-- Not in SQL: that would be planned anew by each look of a relay, and cost it more than all the rest.
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(max(p.number + 1) << 32, 0)
      from outbox.partition p
     where p.sealed_by <= pg_snapshot_xmin(published_below.previous);
end
$$;
comment on function outbox.published_below is
    'The smallest id that can still be unpublished for a cursor at "previous": the end of its last passed partition. A smaller id belongs to a transaction below xmin(previous), so it is visible there, and nobody can write one any more.';
revoke all on function outbox.published_below from public;
grant execute on function outbox.published_below to outbox_relay;
