"""What a window comes to: everything is named by where it stands, and no difference makes up for another."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.flow.reconcile import compare
from outbox.model.reconciliation import Books, Entry, Group, Place, Reconciliation, Subject, Verdict
from outbox.model.reconciliation_text import as_document
from outbox.model.totals import Record, Sum, Sums, TargetPage, TargetPages, TargetTotals, Window, added, decimal_of, one

WINDOW = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
SUBJECT = Subject("orders", ("x",), ("amount",), ("currency",))


def entry(number: int, amount: str = "1.00", *, place: Place = Place.APPLIED, currency: str = "EUR") -> Entry:
    return Entry(place, number, f"e{number}", currency, Decimal(amount), f"D-{number}", f"SO-{number}")


def books(*entries: Entry, source: Sums | None = None, is_cut: bool = False) -> Books:
    groups = []
    for one_of_them in entries:
        part = one(one_of_them.amount)
        applied = part if one_of_them.place is Place.APPLIED else Sum()
        groups.append(Group(one_of_them.place, one_of_them.currency, part, applied))
    others = [one_of_them for one_of_them in entries if one_of_them.place is not Place.APPLIED]
    return Books(groups, others, [e for e in entries if e.place is Place.APPLIED], source, is_cut)


def listed(**records: str) -> TargetTotals:
    """Return a target that lists records: ``D_1="1.00"``, with a currency behind it if it is not EUR."""
    found = {}
    for name, text in records.items():
        amount, _, currency = text.partition(" ")
        found[name.replace("_", "-")] = Record(Decimal(amount), currency or "EUR")
    sums = added((record.currency, one(record.amount)) for record in found.values())
    return TargetTotals(sums, found, "external_id", has_amounts=True, has_currencies=True, is_of_events=True)


def counted(
    count: int, amount: str | None = None, currency: str = "EUR", *, is_by_currency: bool = True
) -> TargetTotals:
    sums = {currency if is_by_currency else "": Sum(count, Decimal(amount or 0))}
    return TargetTotals(
        sums, None, "external_id", has_amounts=amount is not None, has_currencies=is_by_currency, is_of_events=True
    )


def judged(found: Books, target: TargetTotals | None = None, subject: Subject = SUBJECT) -> Reconciliation:
    return compare(subject, WINDOW, found, target)


def with_tolerance(count: int, amount: str) -> Subject:
    return Subject("orders", ("x",), ("amount",), ("currency",), None, None, count, Decimal(amount))


def test_what_is_everywhere_agrees() -> None:
    result = judged(books(entry(1), entry(2, "2.50")), listed(D_1="1.00", D_2="2.5"))
    assert (result.verdict, dict(result.counts), list(result.differences)) == (Verdict.AGREES, {}, [])
    assert [(row.place, row.sum.count, row.sum.amount) for row in result.rows] == [
        (place, 2, Decimal("3.50")) for place in ("committed", "published", "applied", "target")
    ]


@pytest.mark.parametrize(
    ("target", "place", "about"),
    [
        (listed(D_1="1.00"), Place.LOST, "e2"),
        (listed(D_1="1.00", D_2="2.50", D_9="7.00"), Place.FOREIGN, None),
        (listed(D_1="1.00", D_2="2.51"), Place.AMOUNT, "e2"),
        (listed(D_1="1.00", D_2="2.50 USD"), Place.AMOUNT, "e2"),
    ],
)
def test_what_the_target_has_otherwise_is_found_with_its_name(
    target: TargetTotals, place: Place, about: str | None
) -> None:
    result = judged(books(entry(1), entry(2, "2.50")), target)
    assert result.verdict is Verdict.DISAGREES
    (difference,) = result.differences
    assert (difference.place, difference.event_id) == (place, about)
    assert difference.name in ("D-2", "D-9")
    assert dict(result.counts) == {place: 1}


def test_what_is_only_counted_is_told_too_much_and_too_little_by_name_as_well() -> None:
    subject = Subject("orders", ("x",))
    found = books(entry(1), entry(2))
    assert judged(found, listed(D_1="1.00", D_2="9.99"), subject).verdict is Verdict.AGREES
    assert judged(found, listed(D_1="1.00", D_2="1.00", D_3="1.00"), subject).verdict is Verdict.DISAGREES
    assert judged(found, listed(D_1="1.00"), subject).verdict is Verdict.DISAGREES


def test_a_record_that_is_listed_twice_is_double() -> None:
    pages = TargetPages()
    page = TargetPage({"EUR": Sum(2, Decimal(2))}, (("D-1", Record(Decimal(1), "EUR")),) * 2, has_amounts=True)
    assert pages.add(page) is None
    result = judged(books(entry(1)), pages.total())
    assert dict(result.counts) == {Place.DOUBLE: 1}
    assert result.verdict is Verdict.DISAGREES


def test_one_that_is_missing_does_not_make_up_for_one_that_is_too_much() -> None:
    result = judged(books(entry(1), entry(2)), listed(D_1="1.00", D_3="1.00"))
    assert result.count("target") == result.count("applied")
    assert result.verdict is Verdict.DISAGREES
    assert dict(result.counts) == {Place.LOST: 1, Place.FOREIGN: 1}
    off = judged(books(entry(1), entry(2)), listed(D_1="1.50", D_2="0.50"), with_tolerance(0, "0.99"))
    assert off.verdict is Verdict.DISAGREES


def test_what_is_not_settled_here_may_be_at_the_target_already() -> None:
    found = books(entry(1), entry(2, place=Place.IN_DOUBT))
    result = judged(found, listed(D_1="1.00", D_2="1.00"))
    assert result.verdict is Verdict.LATE
    assert any("may be of what is not settled" in note for note in result.notes)
    assert judged(found, listed(D_1="1.00", D_2="1.00", D_3="1.00")).verdict is Verdict.DISAGREES
    assert judged(found, counted(2, "2.00")).verdict is Verdict.LATE
    assert judged(found, counted(3, "3.00")).verdict is Verdict.DISAGREES


def test_a_target_that_goes_by_its_own_time_is_asked_for_what_we_applied_and_not_for_the_rest() -> None:
    whole = listed(D_1="1.00", D_7="9.00")
    target = TargetTotals(whole.sums, whole.records, "external_id", True, True, is_of_events=False)
    result = judged(books(entry(1)), target)
    assert result.verdict is Verdict.AGREES
    assert [row.sum.count for row in result.rows if row.place == "target"] == [1]
    unlisted = Books(books(entry(1)).groups, [], None)
    assert judged(unlisted, target).verdict is Verdict.DISAGREES, "its totals alone say nothing"


def test_the_last_event_of_a_record_says_what_it_is() -> None:
    earlier, later = entry(1, "1.00"), Entry(Place.APPLIED, 2, "e2", "EUR", Decimal("3.00"), "D-1", "SO-1")
    assert judged(books(earlier, later), listed(D_1="3.00")).verdict is Verdict.AGREES
    assert judged(books(earlier, later), listed(D_1="1.00")).verdict is Verdict.DISAGREES


def test_what_has_no_receipt_is_told_and_not_called_lost() -> None:
    unnamed = Entry(Place.APPLIED, 2, "e2", "EUR", Decimal("1.00"))
    result = judged(books(entry(1), unnamed), listed(D_1="1.00", D_2="1.00"))
    assert Place.LOST not in result.counts
    assert any("without a receipt" in note for note in result.notes)
    assert result.verdict is Verdict.AGREES


@pytest.mark.parametrize(
    ("waits", "amount", "verdict"),
    [
        ("5.00", "6.00", Verdict.LATE),
        ("5.00", "6.01", Verdict.DISAGREES),
        ("5.00", "99999999999999999999999999999999.00", Verdict.DISAGREES),
        ("5.00", "0.99", Verdict.DISAGREES),
        ("-5.00", "-4.00", Verdict.LATE),
        ("-5.00", "-4.01", Verdict.DISAGREES),
        ("-5.00", "1.01", Verdict.DISAGREES),
    ],
)
def test_what_is_not_settled_here_excuses_no_more_than_it_comes_to(waits: str, amount: str, verdict: Verdict) -> None:
    found = books(entry(1), entry(2, waits, place=Place.WAITING))
    assert judged(found, counted(2, amount)).verdict is verdict
    unlisted = Books(found.groups, (), found.applied)
    assert judged(unlisted, counted(2, amount)).verdict is Verdict.LATE, "nobody knows what they come to at most"


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (counted(2, "2.00"), Verdict.AGREES),
        (counted(2), Verdict.AGREES),
        (counted(1), Verdict.DISAGREES),
        (counted(2, "2.01"), Verdict.DISAGREES),
        (counted(2, "2.00", "USD"), Verdict.DISAGREES),
        (counted(2, "99.00", is_by_currency=False), Verdict.AGREES),
    ],
)
def test_a_target_that_only_counts_is_compared_as_a_whole_and_each_currency_by_itself(
    target: TargetTotals, verdict: Verdict
) -> None:
    result = judged(books(entry(1), entry(2)), target)
    assert result.verdict is verdict
    assert any("tell its currencies apart" in note for note in result.notes) is not target.has_currencies


def test_what_is_not_told_is_shown_as_not_told_and_never_as_nothing() -> None:
    found = books(entry(1, "5.00"), entry(2, "5.00", currency="USD"))
    for target in (counted(2), counted(2, "10.00", is_by_currency=False)):
        document = as_document(judged(found, target))
        (told,) = [row for row in document["totals"] if row["place"] == "target"]  # type: ignore[union-attr]
        assert (told["count"], told["amount"]) == (2, None)
        assert any("only the number is compared" in note for note in document["notes"])  # type: ignore[union-attr]


def test_of_a_target_that_lists_without_currencies_each_amount_is_of_its_events_currency() -> None:
    whole = listed(D_1="5.00", D_2="5.00")
    records = {name: Record(record.amount) for name, record in (whole.records or {}).items()}
    target = TargetTotals({"": Sum(2, Decimal(10))}, records, "external_id", True, False, True)
    result = judged(books(entry(1, "5.00"), entry(2, "5.00", currency="USD")), target)
    assert result.verdict is Verdict.AGREES
    assert [(row.currency, row.sum.amount) for row in result.rows if row.place == "target"] == [
        ("EUR", Decimal("5.00")),
        ("USD", Decimal("5.00")),
    ]


def test_two_currencies_are_never_one_sum() -> None:
    result = judged(books(entry(1, "5.00"), entry(2, "5.00", currency="USD")), counted(2, "10.00"))
    assert result.verdict is Verdict.DISAGREES
    assert [(row.currency, row.sum.amount) for row in result.rows if row.place == "applied"] == [
        ("EUR", Decimal("5.00")),
        ("USD", Decimal("5.00")),
    ]


@pytest.mark.parametrize("place", [Place.WAITING, Place.DEAD, Place.IN_DOUBT, Place.UNPUBLISHED, Place.REJECTED])
def test_what_is_known_to_be_on_its_way_or_parked_is_late_and_not_lost(place: Place) -> None:
    result = judged(books(entry(1), entry(2, place=place)), listed(D_1="1.00"))
    assert result.verdict is Verdict.LATE
    (difference,) = result.differences
    assert difference.place is place
    assert difference.next_step
    assert judged(books(entry(1), entry(2, place=place)), None, with_tolerance(1, "1.00")).verdict is Verdict.AGREES
    assert judged(books(entry(1), entry(2, place=place)), None, with_tolerance(1, "0.99")).verdict is Verdict.LATE


def test_an_erp_that_forgot_to_emit_is_found() -> None:
    forgot = books(entry(1), source={"EUR": Sum(2, Decimal("2.00"))})
    assert judged(forgot).verdict is Verdict.DISAGREES
    assert judged(forgot, None, with_tolerance(1, "1.00")).verdict is Verdict.AGREES
    assert judged(books(entry(1), source={"": Sum(1, Decimal("7.00"))})).verdict is Verdict.AGREES, "no currency told"
    assert judged(books(entry(1, "7.00"), source={}), None, with_tolerance(1, "6.99")).verdict is Verdict.DISAGREES
    assert judged(books(entry(1), source={"EUR": Sum(1, Decimal("1.01"))})).verdict is Verdict.DISAGREES


def test_that_a_target_was_not_asked_is_told_beside_what_agrees() -> None:
    result = judged(books(entry(1)))
    assert (result.verdict, result.count("target")) == (Verdict.AGREES, None)
    assert any("was not asked" in note for note in result.notes)


def test_an_amount_is_never_written_with_an_exponent() -> None:
    (difference,) = judged(books(entry(1, "1E+2")), listed()).differences
    assert difference.here == "100"


amounts = st.decimals(min_value=-(10**30), max_value=10**30, places=8, allow_nan=False)


@given(st.lists(amounts))
def test_sums_are_exact_in_any_order(values: list[Decimal]) -> None:
    expected = sum((Fraction(value) for value in values), Fraction(0))
    total = added(("EUR", one(value)) for value in values).get("EUR", Sum())
    assert Fraction(total.amount) == expected
    back = added(("EUR", one(value)) for value in reversed(values)).get("EUR", Sum())
    assert total.minus(back) == Sum(0, Decimal(0), 0)


@pytest.mark.parametrize("text", ["0.1", "-12.50", "+7", "9999999999999999999.999999999999999999", "1e2", "1E-10"])
def test_a_numeral_is_read_as_it_is_written(text: str) -> None:
    assert decimal_of(text) == Decimal(text)


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "1e999", "1,5", " 1", "1_0", "٣", "9" * 41, None, 1.5, True])
def test_what_no_ledger_has_is_no_number(text: object) -> None:
    assert decimal_of(text) is None


def test_pages_that_go_in_a_circle_come_to_an_end() -> None:
    pages = TargetPages()
    assert pages.add(TargetPage({}, (), next_page="b")) == "b"
    with pytest.raises(ValueError, match="circle"):
        pages.add(TargetPage({}, (), next_page="b"))


def test_a_target_that_gives_the_same_page_for_every_number_is_not_asked_for_ever() -> None:
    pages = TargetPages()
    for number, names in enumerate((("D-1", "D-2"), ("D-2", "D-1"), ("D-3",)), start=2):
        page = TargetPage({}, tuple((name, Record()) for name in names), next_page=f"parameter:{number}")
        assert pages.add(page) == f"parameter:{number}"
    with pytest.raises(ValueError, match="two pages are the same"):
        pages.add(TargetPage({}, (("D-3", Record()),), next_page="parameter:5"))
    assert TargetPages([TargetPage({}, ())]).add(TargetPage({}, ())) is None


def test_a_document_has_amounts_as_text_with_every_digit() -> None:
    result = judged(books(entry(1, "1E+2"), entry(2, "0.000000000000000001")), listed())
    document = as_document(result, 1)
    assert document["totals"][0] == {  # type: ignore[index]
        "place": "committed", "count": 2, "currency": "EUR", "amount": "100.000000000000000001",
    }  # fmt: skip
    assert document["verdict"] == "disagrees"
    assert len(document["differences"]) == 1  # type: ignore[arg-type]
    assert document["standing"] == {"lost": 2}
