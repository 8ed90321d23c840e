create or replace function outbox.renew_lead(wanted_stream text, own_epoch bigint, lease_seconds double precision)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update outbox.cursor c
       set leased_until = clock_timestamp() + make_interval(secs => lease_seconds)
     where c.stream = wanted_stream and c.epoch = own_epoch;
    if not found then
        raise exception 'another relay leads %', wanted_stream using errcode = 'OB001';
    end if;
end
$$;
comment on function outbox.renew_lead is
    'Says that the leader of this epoch is alive, whether or not it has anything to publish. To be called several times per lease. OB001: the epoch has moved on, somebody else leads. Touches outbox.cursor (one row).';
revoke all on function outbox.renew_lead from public;
grant execute on function outbox.renew_lead to outbox_relay;
