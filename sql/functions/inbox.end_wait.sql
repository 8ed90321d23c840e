create or replace function inbox.end_wait()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    new.look_at := null;
    new.waits_until := null;
    if new.state <> 'dead' then
        new.waits_since := null;
        new.waits_for := null;
    end if;
    return new;
end
$$;
comment on function inbox.end_wait is
    'A delivery that is called, given up, or put behind another one waits for no id any more, whoever changes it; what a dead letter lacked is kept for the person who mends it. The condition stands in the trigger, so that a delivery that never waited costs no call.';
revoke all on function inbox.end_wait from public;
create or replace trigger delivery_wait_ends
    before update of state on inbox.delivery
    for each row
    when (old.state <> new.state and old.waits_since is not null)
    execute function inbox.end_wait();
