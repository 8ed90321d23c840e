"""The judge convicts each kind of fault, and only the guilty."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.checker import CommittedOrder, LedgerLine, Verdict, judge, read_ledger

COMMITTED = (
    CommittedOrder("SO-1", "C-A", 1, Decimal("10.00")),
    CommittedOrder("SO-2", "C-A", 2, Decimal("20.00")),
    CommittedOrder("SO-3", "C-B", 1, Decimal("30.00")),
    CommittedOrder("SO-4", "C-A", 3, Decimal("40.00")),
)
LINE_1 = LedgerLine("SO-1", "C-A", 1, Decimal("10.00"))
LINE_2 = LedgerLine("SO-2", "C-A", 2, Decimal("20.00"))
LINE_3 = LedgerLine("SO-3", "C-B", 1, Decimal("30.00"))
LINE_4 = LedgerLine("SO-4", "C-A", 3, Decimal("40.00"))


def test_one_effect_for_each_order_in_order_of_its_customer_is_clean() -> None:
    verdict = judge(COMMITTED, [LINE_3, LINE_1, LINE_2, LINE_4])
    assert verdict == Verdict(committed=4, effects=4, lost=0, duplicated=0, out_of_order=0, unexpected=0, altered=0)
    assert verdict.is_clean


def test_different_customers_may_overtake_each_other() -> None:
    assert judge(COMMITTED, [LINE_1, LINE_2, LINE_4, LINE_3]).is_clean


def test_nothing_committed_and_nothing_done_is_clean() -> None:
    verdict = judge([], [])
    assert (verdict.committed, verdict.effects) == (0, 0)
    assert verdict.is_clean


def test_an_order_without_an_effect_is_lost() -> None:
    verdict = judge(COMMITTED, [LINE_1, LINE_3, LINE_4])
    assert verdict == Verdict(
        committed=4,
        effects=3,
        lost=1,
        duplicated=0,
        out_of_order=0,
        unexpected=0,
        altered=0,
        lost_examples=("SO-2",),
    )
    assert not verdict.is_clean


def test_every_effect_beyond_the_first_is_a_duplicate() -> None:
    verdict = judge(COMMITTED, [LINE_1, LINE_2, LINE_3, LINE_3, LINE_3, LINE_4])
    assert verdict == Verdict(
        committed=4,
        effects=6,
        lost=0,
        duplicated=2,
        out_of_order=0,
        unexpected=0,
        altered=0,
        duplicated_examples=("SO-3",),
    )
    assert not verdict.is_clean


def test_a_lower_revision_after_a_higher_one_is_out_of_order() -> None:
    verdict = judge(COMMITTED, [LINE_3, LINE_4, LINE_1, LINE_2])
    assert verdict == Verdict(
        committed=4,
        effects=4,
        lost=0,
        duplicated=0,
        out_of_order=2,
        unexpected=0,
        altered=0,
        out_of_order_examples=("SO-1", "SO-2"),
    )
    assert not verdict.is_clean


def test_a_late_duplicate_is_also_out_of_order() -> None:
    verdict = judge(COMMITTED, [LINE_1, LINE_2, LINE_1, LINE_3, LINE_4])
    assert (verdict.duplicated, verdict.out_of_order) == (1, 1)


def test_an_effect_of_an_order_that_was_rolled_back_is_unexpected() -> None:
    ghost = LedgerLine("SO-9", "C-A", 3, Decimal("90.00"))
    verdict = judge(COMMITTED, [LINE_1, LINE_2, ghost, LINE_3, LINE_4])
    assert verdict == Verdict(
        committed=4,
        effects=5,
        lost=0,
        duplicated=0,
        out_of_order=0,
        unexpected=1,
        altered=0,
        unexpected_examples=("SO-9",),
    )
    assert not verdict.is_clean


@pytest.mark.parametrize(
    "wrong",
    [
        LedgerLine("SO-2", "C-B", 2, Decimal("20.00")),
        LedgerLine("SO-2", "C-A", 7, Decimal("20.00")),
        LedgerLine("SO-2", "C-A", 2, Decimal("20.01")),
    ],
)
def test_an_effect_with_other_content_than_committed_is_altered(wrong: LedgerLine) -> None:
    verdict = judge(COMMITTED, [LINE_1, wrong, LINE_3, LINE_4])
    assert (verdict.altered, verdict.altered_examples) == (1, ("SO-2",))
    assert (verdict.lost, verdict.out_of_order, verdict.unexpected) == (0, 0, 0)
    assert not verdict.is_clean


def test_a_forged_revision_does_not_hide_an_inversion() -> None:
    forged = LedgerLine("SO-1", "C-A", 99, Decimal("10.00"))
    verdict = judge(COMMITTED, [LINE_2, forged, LINE_3, LINE_4])
    assert (verdict.out_of_order, verdict.out_of_order_examples) == (1, ("SO-1",))


def test_swapping_an_order_for_another_is_both_lost_and_duplicated() -> None:
    verdict = judge(COMMITTED, [LINE_1, LINE_1, LINE_3, LINE_4])
    assert verdict.committed == verdict.effects
    assert (verdict.lost, verdict.duplicated) == (1, 1)


def test_an_amount_is_compared_by_value_and_not_by_its_digits() -> None:
    assert judge([COMMITTED[0]], [LedgerLine("SO-1", "C-A", 1, Decimal("10.0"))]).is_clean


def test_ten_examples_are_shown_of_many() -> None:
    orders = [CommittedOrder(f"SO-{n:02}", "C-A", n, Decimal(1)) for n in range(1, 13)]
    verdict = judge(orders, [])
    assert verdict.lost == 12
    assert verdict.lost_examples[0] == "SO-01"
    assert verdict.lost_examples[-1] == "SO-10"


def test_a_ledger_is_read_without_a_line_that_is_still_being_written(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    line = {
        "n": 1,
        "order_ref": "SO-1",
        "customer": "C-A",
        "revision": 1,
        "amount": "10.00",
        "deal_id": "D-1",
    }
    ledger.write_text(json.dumps(line) + "\n" + json.dumps(line)[:25])
    assert read_ledger(ledger) == [LINE_1]


def test_an_empty_ledger_has_no_lines(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.touch()
    assert read_ledger(ledger) == []
