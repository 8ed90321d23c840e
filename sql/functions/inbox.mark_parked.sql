create or replace function inbox.mark_parked()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' or old.parked_at is null then
        new.parked_at := clock_timestamp();
        new.deaths := new.deaths + (new.state = 'dead')::integer;
    end if;
    new.reason_group := inbox.reason_group(new.flow, new.reason_class, new.reason);
    return new;
end
$$;
comment on function inbox.mark_parked is
    'Dates and groups what is parked, whoever parks it, and counts deaths. The condition stands in the trigger, so that a delivery that is not parked costs no call. inbox.resolve takes the marks away.';
revoke all on function inbox.mark_parked from public;
create or replace trigger delivery_parked_is_marked
    before insert or update of state on inbox.delivery
    for each row
    when (new.state = 'dead' or (new.state = 'in_doubt' and new.due_at is null))
    execute function inbox.mark_parked();
