"""The campaign's verdict convicts what is wrong, and its mutations still find what they take out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.rest_settings import RestSettings
from sandbox.checker import CommittedOrder, LedgerLine
from sandbox.errors import SandboxError
from sandbox.soak import main
from sandbox.soak_flows import FLOWS, SoakFlow, flows_named
from sandbox.soak_mutations import MUTATIONS, Change, Mutation, mutate
from sandbox.soak_report import FlowVerdict, Report, Unfinished, judge_flow

PROJECT = Path(__file__).resolve().parents[2]
ORDERS = [CommittedOrder(f"SO-{n}", "C-001", n, Decimal(n)) for n in (1, 2, 3)]
LINES = [LedgerLine(order.order_ref, order.customer, order.revision, order.amount) for order in ORDERS]
(KEYED,) = flows_named(["idempotency-key"])
(NONE,) = flows_named(["none"])
PARKED = Unfinished("SO-2", "C-001", "in_doubt", is_due=False, reason="may have been applied")
BEHIND = Unfinished("SO-3", "C-001", "blocked", is_due=False, reason=None)


def report_on(*verdicts: FlowVerdict, **changes: object) -> Report:
    report = Report(
        seed=7,
        minutes=1,
        seconds=90,
        is_drained=True,
        flows=verdicts,
        strikes={"relay: kill -9": 2},
        target_faults={},
        problems=(),
        again="python -m sandbox.soak --seed 7",
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def test_one_effect_for_each_order_in_order_is_clean(tmp_path: Path) -> None:
    report = report_on(judge_flow(KEYED, ORDERS, LINES, []), judge_flow(NONE, ORDERS, LINES, []))
    assert (report.faults(), report.exit_code()) == ([], 0)
    report.write(tmp_path / "report.json")
    assert '"is_clean": true' in (tmp_path / "report.json").read_text()


@pytest.mark.parametrize("flow", [KEYED, NONE])
@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (LINES[:2], "1 committed orders never took effect"),
        ([*LINES, LINES[2]], "1 effects were repeated"),
        ([LINES[1], LINES[0], LINES[2]], "1 effects overtook"),
        ([*LINES, replace(LINES[2], order_ref="SO-9", revision=4)], "never committed"),
        ([*LINES[:2], replace(LINES[2], amount=Decimal(0))], "differ"),
    ],
)
def test_a_ledger_that_is_wrong_is_convicted_in_every_flow(
    flow: SoakFlow, lines: Sequence[LedgerLine], says: str
) -> None:
    report = report_on(judge_flow(flow, ORDERS, lines, []))
    assert any(says in fault for fault in report.faults())
    assert report.exit_code() == 1


def test_only_a_target_that_offers_nothing_may_leave_an_order_to_a_person() -> None:
    parked = judge_flow(NONE, ORDERS, LINES[:1], [PARKED, BEHIND])
    assert (parked.parked, parked.waiting, parked.lost) == (1, 1, 0)
    assert list(parked.faults()) == []
    assert judge_flow(KEYED, ORDERS, LINES[:1], [PARKED, BEHIND]).lost == 2
    assert list(judge_flow(KEYED, ORDERS, LINES, [PARKED]).faults())


@pytest.mark.parametrize(
    "unfinished",
    [
        [replace(PARKED, reason=None), BEHIND],
        [replace(PARKED, is_due=True), BEHIND],
        [replace(PARKED, state="dead"), BEHIND],
        [BEHIND],
    ],
)
def test_what_is_parked_without_a_reason_or_waits_for_nobody_is_lost(unfinished: Sequence[Unfinished]) -> None:
    assert list(judge_flow(NONE, ORDERS, LINES[:1], unfinished).faults())


def test_a_campaign_that_did_not_come_to_its_end_or_did_nothing_proves_nothing() -> None:
    clean = judge_flow(KEYED, ORDERS, LINES, [])
    assert report_on(clean, is_drained=False).exit_code() == 1
    assert report_on(clean, problems=("consume-1 ended by itself",)).exit_code() == 1
    assert report_on(judge_flow(KEYED, [], [], [])).exit_code() == 1


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_the_settings_of_every_flow_are_those_of_the_adapter(flow: SoakFlow) -> None:
    content = flow.settings()["adapter"]
    RestSettings.model_validate({name: value for name, value in content.items() if name not in {"use", "connection"}})


def test_a_flow_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--flows", "nothing"])
    assert "nothing" in capsys.readouterr().err


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_takes_out_is_there(mutation: Mutation, tmp_path: Path) -> None:
    for file in {change.file for change in mutation.changes}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    mutate(tmp_path, mutation.changes)
    for change in mutation.changes:
        assert (tmp_path / change.file).read_text() != (PROJECT / change.file).read_text()
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}" in (PROJECT / file).read_text()


def test_a_mutation_that_finds_nothing_to_take_out_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("select 1")
    with pytest.raises(SandboxError, match="up to date"):
        mutate(tmp_path, [Change("a.sql", "select 2", "")])
