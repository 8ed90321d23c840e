-- A target that throttles means all who call it: the circuits of flows with one connection are found by its name.

alter table inbox.circuit add column connection text;
comment on column inbox.circuit.connection is
    'The connection by which the flow''s target is called, as its processes last said; null: not told yet.';
comment on column inbox.circuit.throttled_until is
    'Until then the target wants no calls, of this flow or of all that share its connection. It opens nothing.';

drop function if exists inbox.register_flow(text, integer);
drop function if exists inbox.tell_circuit(
    text, bigint[], text[], text[], double precision[], boolean[], integer, double precision, double precision
);
