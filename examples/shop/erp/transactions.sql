-- What the ERP does. Each function is one transaction: business rows and the outbox's row commit together, or neither.
-- Refusals have SQLSTATEs of the ERP's own: ERP22 what was asked for is wrong, ERP09 it contradicts what is there,
-- ERP04 there is no such thing.

create or replace function erp.take_web_order(p_order jsonb) returns table (number text, is_new boolean)
language plpgsql
as $$
declare
    known erp.sales_order;
    unknown text;
    lines_total numeric;
begin
    -- Two requests for one order wait for each other here, so that neither takes a number for nothing.
    perform pg_advisory_xact_lock(hashtextextended('erp.web_order/' || (p_order ->> 'web_order'), 0));
    select * into known from erp.sales_order o where o.web_order = p_order ->> 'web_order';
    if found then
        if known.document <> p_order then
            raise exception 'order % was sent before, with another content', known.number using errcode = 'ERP09';
        end if;
        return query select known.number, false;
        return;
    end if;
    if not exists (select from erp.customer c where c.number = p_order ->> 'customer') then
        raise exception 'there is no customer %', p_order ->> 'customer' using errcode = 'ERP22';
    end if;
    select l.article into unknown
      from jsonb_to_recordset(p_order -> 'lines') as l (article text)
     where not exists (select from erp.article a where a.number = l.article)
     limit 1;
    if found then
        raise exception 'there is no article %', unknown using errcode = 'ERP22';
    end if;
    select sum(l.quantity * l.unit_price) into lines_total
      from jsonb_to_recordset(p_order -> 'lines') as l (quantity integer, unit_price numeric);
    if lines_total is distinct from (p_order ->> 'total')::numeric then
        raise exception 'the lines do not come to the total' using errcode = 'ERP22';
    end if;
    number := 'SO-' || nextval('erp.order_number');
    insert into erp.sales_order (number, web_order, reference, customer, state, currency, total, document)
    values (take_web_order.number, p_order ->> 'web_order', p_order ->> 'reference', p_order ->> 'customer', 'new',
            p_order ->> 'currency', (p_order ->> 'total')::numeric, p_order);
    insert into erp.order_line (order_number, line, article, quantity, unit_price)
    select take_web_order.number, l.line, l.article, l.quantity, l.unit_price
      from jsonb_to_recordset(p_order -> 'lines')
           as l (line integer, article text, quantity integer, unit_price numeric);
    is_new := true;
    return next;
end
$$;

create or replace function erp.confirm(p_order text) returns void
language plpgsql
as $$
declare
    confirmed erp.sales_order;
    nth integer;
    one record;
begin
    perform erp.lock_order(p_order, 'new');
    update erp.customer c set orders = c.orders + 1
      from erp.sales_order o
     where o.number = p_order and c.number = o.customer
    returning c.orders into nth;
    update erp.sales_order o set state = 'confirmed', customer_order = nth, confirmed_at = clock_timestamp()
     where o.number = p_order
    returning * into confirmed;
    perform outbox.emit(
        type => 'order.confirmed',
        key => p_order,
        payload => json_build_object(
            'order', confirmed.number,
            'customer', confirmed.customer,
            'customer_order', confirmed.customer_order,
            'currency', confirmed.currency,
            'total', confirmed.total::text,
            'confirmed_at', confirmed.confirmed_at,
            'lines', (select json_agg(json_build_object(
                          'article', l.article, 'quantity', l.quantity, 'unit_price', l.unit_price::text) order by l.line)
                        from erp.order_line l where l.order_number = p_order)));
    -- In the order of the articles: two orders that share some wait for each other, and never in a circle.
    for one in select l.article, sum(l.quantity)::integer as quantity from erp.order_line l
                where l.order_number = p_order group by l.article order by l.article
    loop
        update erp.article a set reserved = a.reserved + one.quantity where a.number = one.article;
        perform erp.tell_stock(one.article);
    end loop;
end
$$;

create or replace function erp.ship(p_order text, p_carrier text, p_tracking_number text) returns text
language plpgsql
as $$
declare
    sent erp.shipment;
    one record;
begin
    perform erp.lock_order(p_order, 'confirmed');
    for one in select l.article, sum(l.quantity)::integer as quantity from erp.order_line l
                where l.order_number = p_order group by l.article order by l.article
    loop
        update erp.article a set on_hand = a.on_hand - one.quantity, reserved = a.reserved - one.quantity
         where a.number = one.article and a.on_hand >= one.quantity;
        if not found then
            raise exception 'there is not enough of article %', one.article using errcode = 'ERP09';
        end if;
        perform erp.tell_stock(one.article);
    end loop;
    update erp.sales_order o set state = 'shipped' where o.number = p_order;
    insert into erp.shipment (number, order_number, carrier, tracking_number, sent_at)
    values ('SH-' || nextval('erp.shipment_number'), p_order, p_carrier, p_tracking_number, clock_timestamp())
    returning * into sent;
    perform outbox.emit(
        type => 'shipment.sent',
        key => p_order,
        payload => json_build_object(
            'shipment', sent.number,
            'order', p_order,
            'carrier', sent.carrier,
            'tracking_number', sent.tracking_number,
            'sent_at', sent.sent_at,
            'lines', (select json_agg(json_build_object(
                          'article', l.article, 'quantity', l.quantity) order by l.line)
                        from erp.order_line l where l.order_number = p_order)));
    return sent.number;
end
$$;

create or replace function erp.count_stock(p_article text, p_on_hand integer) returns void
language plpgsql
as $$
begin
    update erp.article a set on_hand = p_on_hand where a.number = p_article;
    if not found then
        raise exception 'there is no article %', p_article using errcode = 'ERP04';
    end if;
    perform erp.tell_stock(p_article);
end
$$;

create or replace function erp.tell_stock(p_article text) returns void
language plpgsql
as $$
begin
    -- The row is locked by whoever changed it, so events of one article have the order of their commits.
    perform outbox.emit(
        type => 'stock.changed',
        key => p_article,
        payload => (
            select json_build_object(
                       'article', a.number,
                       'on_hand', a.on_hand,
                       'reserved', a.reserved,
                       'available', a.on_hand - a.reserved,
                       'changed_at', clock_timestamp())
              from erp.article a where a.number = p_article));
end
$$;

create or replace function erp.lock_order(p_order text, p_state text) returns void
language plpgsql
as $$
declare
    found_state text;
begin
    select o.state into found_state from erp.sales_order o where o.number = p_order for update;
    if not found then
        raise exception 'there is no order %', p_order using errcode = 'ERP04';
    end if;
    if found_state <> p_state then
        raise exception 'order % is %, not %', p_order, found_state, p_state using errcode = 'ERP09';
    end if;
end
$$;
