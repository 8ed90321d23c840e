"""The judge of the worked example convicts whatever differs between shop, ERP and CRM."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from sandbox.shop_judge import Deal, Evidence, SalesOrder, WebOrder, judge

LINES = (("A-100", 2, Decimal("24.90")),)
TOTAL = Decimal("49.80")
SOLD = WebOrder("5001", "Anna Berg", TOTAL, LINES)
TAKEN = SalesOrder("SO-1", "5001", "C-1", "Anna Berg", TOTAL, 1, LINES)
DEAL = Deal("SO-1", "ACC-1", TOTAL, 1)
CLEAN = Evidence(
    web_orders=(SOLD,),
    sales_orders=(TAKEN,),
    deals=(DEAL,),
    shipments=(("SO-1", "T-1"),),
    fulfillments=(("5001", "T-1"),),
    available={"A-100": 48},
    levels={"450": 48},
    crm_customer_of={"C-1": "ACC-1"},
    shop_product_of={"A-100": "450"},
)


def test_three_systems_that_agree_are_acquitted() -> None:
    assert [(one.wanted, one.found, one.faults) for one in judge(CLEAN)] == [(1, 1, ())] * 4


def test_an_order_that_nobody_has_confirmed_is_no_deal() -> None:
    waiting = replace(
        CLEAN, sales_orders=(replace(TAKEN, customer_order=None),), deals=(), shipments=(), fulfillments=()
    )
    assert not any(one.faults for one in judge(waiting))


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"sales_orders": ()}, "5001 is missing"),
        ({"sales_orders": (TAKEN, replace(TAKEN, number="SO-2"))}, "5001 is there 2 times"),
        ({"sales_orders": (replace(TAKEN, total=Decimal("49.81")),)}, "5001 differs"),
        ({"sales_orders": (replace(TAKEN, customer_name="Bo Lind"),)}, "5001 differs"),
        ({"web_orders": ()}, "5001 should not be there"),
        ({"deals": ()}, "SO-1 is missing"),
        ({"deals": (DEAL, DEAL)}, "SO-1 is there 2 times"),
        ({"deals": (DEAL, replace(DEAL, order="SO-9"))}, "SO-9 should not be there"),
        ({"deals": (replace(DEAL, customer="C-1"),)}, "SO-1 differs"),
        ({"fulfillments": ()}, "5001 is missing"),
        ({"fulfillments": (("5001", "T-2"),)}, "5001 differs"),
        ({"levels": {}}, "450 is missing"),
        ({"levels": {"450": 50}}, "450 differs"),
    ],
)
def test_what_differs_is_convicted(wrong: dict[str, object], fault: str) -> None:
    faults = [one for comparison in judge(replace(CLEAN, **wrong)) for one in comparison.faults]  # type: ignore[arg-type]
    assert any(one.startswith(fault) for one in faults)
