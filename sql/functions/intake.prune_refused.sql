create or replace function intake.prune_refused(keep_rows integer, keep interval, max_rows integer)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    one     text := (select min(r.source) from intake.refused r);
    oldest  bigint;
    pruned  integer := 0;
    removed integer;
begin
    -- One source after the other, by the index, however many rows each has.
    while one is not null and pruned < max_rows loop
        select r.id into oldest
          from intake.refused r where r.source = one order by r.id desc offset keep_rows limit 1;
        delete from intake.refused d
         using (select o.id
                  from intake.refused o
                 where o.source = one and (o.id <= oldest or o.refused_at < now() - keep)
                 order by o.id
                 limit max_rows - pruned
                   for update skip locked) old
         where d.id = old.id;
        get diagnostics removed = row_count;
        pruned := pruned + removed;
        one := (select min(r.source) from intake.refused r where r.source > one);
    end loop;
    return pruned;
end
$$;
comment on function intake.prune_refused is
    'Removes at most max_rows refused requests: of each source those beyond its newest keep_rows, and those that are older than keep. Returns how many; call it again while it returns max_rows. Never waits.';
revoke all on function intake.prune_refused from public;
grant execute on function intake.prune_refused to outbox_intake;
