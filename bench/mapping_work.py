"""One document and what is to become of it: by the rules of a mapping, and by hand in Python, with the same result."""

import json
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from outbox.config.mapping import MappingField
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_rules import rules_of

LINES = 20
_CENT = Decimal("0.01")
_ZONE, _UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
_COUNTRIES = {"DE": "276", "AT": "040", "CH": "756"}
_NOTES = (', "note": "fragile"', "")
_ROUNDED = {"decimal": {"places": 2, "rounding": "half_up"}}

_HEADER: list[dict[str, object]] = [
    {"source_field": "order_ref", "target_field": "tranId", "transform": "uppercase", "required": True},
    {"source_field": "id", "target_field": "externalId", "transform": "string"},
    {"source_field": "customer.number", "target_field": "entity.id", "required": True},
    {"source_field": "customer.name", "target_field": "entity.name", "transform": ["trim", "collapse_spaces"]},
    {"source_field": "customer.mail", "target_field": "entity.email", "transform": "lowercase"},
    {"source_field": "customer.address.street", "target_field": "shipTo.addr1"},
    {"source_field": "customer.address.city", "target_field": "shipTo.city"},
    {"source_field": "customer.address.zip", "target_field": "shipTo.zip"},
    {
        "source_field": "customer.address.country",
        "target_field": "shipTo.country",
        "transform": {"table": {"values": _COUNTRIES}},
    },
    {"source_field": "currency", "target_field": "currency", "default": "EUR"},
    {"source_field": "net", "target_field": "subtotal", "transform": _ROUNDED},
    {"source_field": "tax", "target_field": "taxTotal", "transform": _ROUNDED},
    {"source_field": "gross", "target_field": "total", "transform": _ROUNDED, "required": True},
    {
        "source_field": "ordered_at",
        "target_field": "tranDate",
        "transform": {"date": {"zone": "Europe/Berlin", "to_zone": "UTC"}},
    },
    {"source_field": "note", "target_field": "memo", "transform": {"truncate": 100}},
    {"source_field": "channel", "target_field": "source", "default": "shop"},
    {"template": "{customer.number}/{order_ref}", "target_field": "title"},
    {"source_field": "priority", "target_field": "priority", "default": 3},
    {"source_field": "lines[0].sku", "target_field": "firstItem"},
    {"target_field": "status", "default": "pending"},
]
_LINE: list[dict[str, object]] = [
    {"position": 1, "target_field": "line"},
    {"source_field": "sku", "target_field": "item", "transform": "uppercase", "required": True},
    {"source_field": "name", "target_field": "description", "transform": "trim"},
    {"source_field": "qty", "target_field": "quantity", "required": True},
    {"source_field": "unit", "target_field": "units", "default": "piece"},
    {"source_field": "price", "target_field": "rate", "transform": _ROUNDED},
    {"source_field": "amount", "target_field": "amount", "transform": _ROUNDED},
    {"source_field": "tax.code", "target_field": "taxCode"},
    {"source_field": "discount", "target_field": "discount", "default": 0},
    {"source_field": "note", "target_field": "memo"},
]
_RULES = [*_HEADER, {"source_field": "lines", "target_field": "item.items", "fields": _LINE}]


def mapping() -> Mapping:
    """Return the rules, compiled: 20 fields of the document and 10 of each line."""
    return Mapping.compile(rules_of(TypeAdapter(tuple[MappingField, ...]).validate_python(_RULES)))


def payload() -> bytes:
    """Return an order as JSON."""
    lines = ",".join(
        f'{{"sku": "art-{n}", "name": " Article {n} ", "qty": {n + 1}, "price": {n}.495, "amount": {n * (n + 1)}.50,'
        f' "tax": {{"code": "V19"}}{_NOTES[n % 2]}}}'
        for n in range(LINES)
    )
    return (
        '{"order_ref": "so-1001", "id": 1234567890123456789, "customer": {"number": "C-7", "name": " Anna  Berg ",'
        ' "mail": "Anna@Example.com", "address": {"street": "Allee 1", "city": "Berlin", "zip": "10115",'
        ' "country": "DE"}}, "net": 1000.004, "tax": 190.00, "gross": 1190.004, "ordered_at": "2026-07-01T12:30:00",'
        f' "note": "call before", "priority": 1, "lines": [{lines}]}}'
    ).encode()


def by_hand(body: bytes) -> dict[str, object]:
    """Do the same as a person would write it who needs it once."""
    order = json.loads(body, parse_float=Decimal)
    customer = order["customer"]
    address = customer["address"]
    made: dict[str, object] = {
        "tranId": order["order_ref"].upper(),
        "externalId": str(order["id"]),
        "entity": {
            "id": customer["number"],
            "name": " ".join(customer["name"].split()),
            "email": customer["mail"].lower(),
        },
        "shipTo": {
            "addr1": address["street"],
            "city": address["city"],
            "zip": address["zip"],
            "country": _COUNTRIES[address["country"]],
        },
        "currency": order.get("currency", "EUR"),
        "subtotal": _cents(order["net"]),
        "taxTotal": _cents(order["tax"]),
        "total": _cents(order["gross"]),
        "tranDate": datetime.fromisoformat(order["ordered_at"])
        .replace(tzinfo=_ZONE)
        .astimezone(_UTC)
        .isoformat()
        .replace("+00:00", "Z"),
        "memo": order["note"][:100],
        "source": order.get("channel", "shop"),
        "title": f"{customer['number']}/{order['order_ref']}",
        "priority": order.get("priority", 3),
        "firstItem": order["lines"][0]["sku"],
        "status": "pending",
        "item": {"items": [_line(number, line) for number, line in enumerate(order["lines"], 1)]},
    }
    return made


def _line(number: int, line: dict[str, object]) -> dict[str, object]:
    tax = line["tax"]
    made = {
        "line": number,
        "item": str(line["sku"]).upper(),
        "description": str(line["name"]).strip(),
        "quantity": line["qty"],
        "units": line.get("unit", "piece"),
        "rate": _cents(line["price"]),
        "amount": _cents(line["amount"]),
        "taxCode": tax["code"] if isinstance(tax, dict) else None,
        "discount": line.get("discount", 0),
    }
    if "note" in line:
        made["memo"] = line["note"]
    return made


def _cents(number: object) -> Decimal:
    assert isinstance(number, int | Decimal)  # noqa: S101
    return Decimal(number).quantize(_CENT, ROUND_HALF_UP)
