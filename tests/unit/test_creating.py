"""Flows that are asked for records: which settings are refused, what is asked for at once, and what people are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox.config.difference import difference
from outbox.model.awaited import Awaited, Look
from outbox.model.creating import Creator, Standing, requests_of, standing_text
from outbox.model.mapping import Reference
from outbox.model.xref import Registry
from tests.unit.config_cases import problems_of, settings_of

_SHAPE = """\
connections: {{crm: {{base_url: "https://crm.example.com"}}}}
flows:
  orders:
    description: Orders become deals
    events: [order.confirmed]
    adapter: {{use: rest, connection: crm, path: /deals}}
    mapping:
      - {{source_field: c, target_field: c, transform: {{xref: {{entity: customer, system: crm, {orders}}}}}}}
  customers:
    description: Customers become accounts
    events: [{event}]
    adapter: {{use: rest, connection: crm, path: /accounts}}
    {customers}
"""
LINKS = "links: {entity: customer, system: crm}"
ASKS = "missing: create_first, flow: customers"
BACK = (
    "mapping: [{source_field: o, target_field: o, transform: "
    "{xref: {entity: order, system: crm, missing: create_first, flow: orders}}}]"
)
CREATORS = {name: Creator(name, ("^$",), "park") for name in ("customers", "items")}


def settings(orders: str = ASKS, customers: str = LINKS, event: str = "customer.changed") -> str:
    return _SHAPE.format(orders=orders, customers=customers, event=event)


@pytest.mark.parametrize(
    ("orders", "customers", "problem"),
    [
        (
            "missing: create_first, flow: custmers",
            LINKS,
            ".xref.flow=custmers: unknown flow, known are customers; did you mean 'customers'?",
        ),
        (
            ASKS,
            "on_dead: block",
            ".xref.flow=customers: must be a flow whose receipts link it; set links: {entity: customer, ",
        ),
        (
            ASKS,
            "links: {entity: customer, system: shop}",
            "with links: {entity: customer, system: crm}; the receipts of this one link customer in shop",
        ),
        (
            "missing: create_first, flow: orders",
            LINKS,
            ".xref.flow=orders: must not lead back to the flow that asks (orders → orders)",
        ),
        (ASKS, f"{LINKS}\n    {BACK}", "must not lead back to the flow that asks (orders → customers → orders)"),
        (ASKS, f"{LINKS}\n    {BACK}", "must not lead back to the flow that asks (customers → orders → customers)"),
        ("missing: create_first", LINKS, ".xref.flow: required beside create_first"),
        (
            "missing: wait, flow: customers",
            LINKS,
            "=customers: must not be set unless missing is create_first",
        ),
        (f"{ASKS}, to: key", LINKS, ".xref.to=key: must be id beside create_first"),
    ],
)
def test_a_flow_that_cannot_be_asked_is_told_with_its_place(
    orders: str, customers: str, problem: str, tmp_path: Path
) -> None:
    found = problems_of(settings(orders, customers), tmp_path)
    assert problem in "\n".join(found)
    assert all(line.startswith("outbox.yaml:") for line in found)


def test_a_flow_that_asks_is_another_one_when_what_it_asks_for_is(tmp_path: Path) -> None:
    before, same = settings_of(settings(), tmp_path), settings_of(settings(), tmp_path)
    assert difference(before, same).changed == ()
    after = settings_of(settings(event="customer.*"), tmp_path)
    assert difference(before, after).changed == ("orders", "customers")
    plain = settings("missing: wait"), settings("missing: wait", event="customer.*")
    assert difference(*(settings_of(one, tmp_path) for one in plain)).changed == ("customers",)


def look(*missing: Awaited) -> Look:
    return Look(1, 1, "m", 1, 10.0, 10.0, "waits", missing)


def awaited(key: str, creator: str | None = "customers", entity: str = "customer") -> Awaited:
    return Awaited(Reference(entity, "crm", key), "not known", creator)


def test_each_record_is_asked_for_once_in_statements_that_have_a_bound() -> None:
    looks = [look(awaited("A"), awaited("B")), look(awaited("A"), awaited("X", None)), look(awaited("A", "gone"))]
    (one,) = requests_of(looks, CREATORS)
    assert (one.creator.flow, one.registry, one.keys) == ("customers", Registry("customer", "crm"), ("A", "B"))

    many = [look(awaited(str(number)), awaited(str(number), "items", "item")) for number in range(450)]
    assert [len(one.keys) for one in requests_of(many, CREATORS)] == [200, 200, 50] * 2


def test_people_are_told_how_it_stands_with_the_first_record_that_a_flow_was_asked_for() -> None:
    registry = Registry("customer", "crm")
    standings = {("customers", registry, "B"): Standing.PARKED, ("customers", registry, "C"): Standing.ASKED}
    missing = (awaited("A", None), awaited("B"), awaited("C"))
    assert standing_text(missing, standings) == (
        "in flow customers it waits for a person (outbox dead list --flow customers)"
    )
    assert standing_text(missing[:1], standings) is None


@pytest.mark.parametrize("standing", Standing)
def test_every_standing_names_the_flow_that_was_asked(standing: Standing) -> None:
    assert "customers" in standing.told("customers")
