"""The demo proves its point with real kills, convicts whatever is wrong, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.checker import CommittedOrder, LedgerLine, Verdict, judge
from sandbox.demo import exit_code_of
from sandbox.demo_programs import ProgramFailedError
from sandbox.demo_report import Asked, Report
from sandbox.demo_strikes import Strike, Target, plan_strikes
from sandbox.erp import ErpTotals
from sandbox.errors import SandboxError
from sandbox.processes import Process, identify, is_alive, tree

PROJECT = Path(__file__).resolve().parents[2]
FIGURES = {
    "committed",
    "rolled_back",
    "published",
    "wire_duplicates",
    "applied",
    "effects",
    "lost",
    "duplicated",
    "out_of_order",
    "kills",
    "seconds",
    "seed",
}
ORDERS = [CommittedOrder(f"SO-{n}", "C-001", n, Decimal(n)) for n in (1, 2)]
LINES = [LedgerLine(order.order_ref, order.customer, order.revision, order.amount) for order in ORDERS]
UNCOMMITTED = LedgerLine("SO-9", "C-001", 3, Decimal(9))
ALTERED = replace(LINES[1], amount=Decimal("0.01"))
STRIKES = tuple(Strike(target, 1.0, 1, 1, None) for target in Target)


def test_everything_is_killed_and_each_order_takes_effect_once(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--orders", "300", "--keys", "20", "--kills", "1", "--rate", "60", "--seed", "11"]
    with start_demo(*options, "--report", str(report)) as demo:
        output, _ = demo.communicate(timeout=140)

    assert demo.returncode == 0, output
    figures = json.loads(report.read_text())
    assert figures.keys() >= FIGURES
    assert figures["committed"] == figures["published"] == figures["applied"] == figures["effects"] == 300
    assert (figures["lost"], figures["duplicated"], figures["out_of_order"]) == (0, 0, 0)
    assert figures["kills"] == {"relay": 1, "consumer": 1, "rabbitmq": 1}
    assert figures["rolled_back"] > 0
    assert figures["answers_lost"] > 0
    assert all(strike["interrupted"] != 0 for strike in figures["strikes"])
    assert "wire_duplicates" in output


async def test_nothing_is_left_of_a_demo_that_is_killed(tmp_path: Path) -> None:
    with start_demo("--report", str(tmp_path / "report.json")) as demo:
        assert demo.stdout is not None
        working = next((line for line in demo.stdout if "the ERP confirms orders" in line), None)
        everything = processes_of(demo.pid)
        demo.send_signal(signal.SIGKILL)
    assert working is not None
    assert {"postgres", "beam.smp", "outbox"} <= {name for _, name in everything}
    await gone([process for process, _ in everything])


@pytest.mark.parametrize(
    "ledger",
    [
        pytest.param(LINES[:1], id="lost"),
        pytest.param([*LINES, LINES[1]], id="duplicated"),
        pytest.param(LINES[::-1], id="out of order"),
        pytest.param([*LINES, UNCOMMITTED], id="unexpected"),
        pytest.param([LINES[0], ALTERED], id="altered"),
    ],
)
def test_an_unclean_ledger_is_convicted(ledger: Sequence[LedgerLine], tmp_path: Path) -> None:
    report = report_on(judge(ORDERS, ledger))
    assert report.exit_code() == 1
    report.write(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["is_clean"] is False


def test_a_clean_ledger_is_acquitted() -> None:
    report = report_on(judge(ORDERS, LINES))
    assert report.faults() == []
    assert report.exit_code() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"erp": ErpTotals(3, 0)},
        {"published": 1},
        {"applied": 1},
        {"strikes": STRIKES[:2]},
        {"program_problems": ("outbox relay ended with exit code 75 after SIGTERM",)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_demo_that_proves_less_than_it_was_asked_to_fails(wrong: dict[str, object]) -> None:
    report = replace(report_on(judge(ORDERS, LINES)), **wrong)  # type: ignore[arg-type]
    assert len(report.faults()) == 1
    assert report.exit_code() == 1


def test_what_went_wrong_decides_the_exit_code() -> None:
    failed = ProgramFailedError("outbox relay ended by itself with exit code 78", "(nothing)")
    assert exit_code_of(ExceptionGroup("tasks", [ExceptionGroup("strikes", [failed])])) == 1
    assert exit_code_of(SandboxError("there is no RabbitMQ", next_step="install it")) == 69
    assert exit_code_of(ZeroDivisionError()) == 70


def test_kills_are_planned_by_the_seed_and_spread_over_the_work() -> None:
    planned = plan_strikes(kills=3, seed=5, with_rabbitmq=True)
    assert (
        planned
        == plan_strikes(kills=3, seed=5, with_rabbitmq=True)
        != plan_strikes(kills=3, seed=6, with_rabbitmq=True)
    )
    assert sorted(strike.target for strike in planned) == ["consumer"] * 3 + ["rabbitmq"] + ["relay"] * 3
    assert all(0.05 < strike.at_share < 0.8 for strike in planned)


def report_on(verdict: Verdict) -> Report:
    return Report(
        asked=Asked(orders=2, keys=1, kills=1, seed=1, rabbitmq_kills=1),
        verdict=verdict,
        erp=ErpTotals(committed=2, rolled_back=0),
        published=2,
        wire_duplicates=0,
        applied=2,
        in_doubt_resolved=0,
        answers_lost=0,
        strikes=STRIKES,
        program_problems=(),
        seconds=1.0,
        first_applied_seconds=0.5,
    )


def start_demo(*options: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.demo", *options],
        cwd=PROJECT,
        env=inherited,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(pid: int) -> list[tuple[Process, str]]:
    root = identify(pid)
    assert root is not None
    found = []
    for process in tree(root):
        # One that has ended by itself in the meantime is not left.
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append((process, Path(f"/proc/{process.pid}/comm").read_text().strip()))
    return found


async def gone(processes: Sequence[Process]) -> None:
    """Wait for the end of processes that are not our children: the kernel tells by the pid's file descriptor."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        for process in processes:
            if not is_alive(process):
                continue
            try:
                descriptor = os.pidfd_open(process.pid)
            except ProcessLookupError:
                continue
            ended = asyncio.Event()
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
