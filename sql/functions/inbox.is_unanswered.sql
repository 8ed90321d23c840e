create or replace function inbox.is_unanswered(d inbox.delivery)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A call ends after its key was first used; what ended before was under a key that was given up because nothing
    -- under it took effect.
    return d.state = 'dead' and exists (
        select from inbox.attempt a
         where a.delivery_id = d.id and a.call = 'send' and a.outcome = 'unknown' and a.ended_at >= d.first_sent_at);
end
$$;
comment on function inbox.is_unanswered is
    'Whether a call without an answer came before the refusal of a dead delivery, under the same key: it may have taken effect, and a retry under another key would be a second one.';
revoke all on function inbox.is_unanswered from public;
grant execute on function inbox.is_unanswered to outbox_adapter;
