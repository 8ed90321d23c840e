create or replace function intake.prune_received(max_rows integer)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    pruned integer;
begin
    delete from intake.received r
     using (select o.source, o.name
              from intake.received o
             where o.keep_until < now()
             order by o.keep_until
             limit max_rows
               for update skip locked) old
     where r.source = old.source and r.name = old.name;
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
comment on function intake.prune_received is
    'Forgets at most max_rows names whose time is over, oldest first, and returns how many; call it again while it returns max_rows. Never waits.';
revoke all on function intake.prune_received from public;
grant execute on function intake.prune_received to outbox_intake;
