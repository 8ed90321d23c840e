"""The campaign: real processes under random strikes for as long as you like, judged by what the targets did.

Two relays and two consumers run a flow for each recovery strategy. Meanwhile everything is killed, frozen, cut off,
restarted and made to fail at random, by seed. In the end each committed order must have had one effect in each
target, in order for its customer; only where a target offers nothing, it may be parked with a reason instead.
"""

import argparse
import asyncio
import random
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sandbox.crm_faults import Fault, Faults
from sandbox.demo import exit_code_of
from sandbox.servers import Servers, private_servers
from sandbox.soak_erp import write_until
from sandbox.soak_flows import FLOWS, SLOW_MS, SoakFlow, flows_named
from sandbox.soak_report import Report, judge_flows
from sandbox.soak_stage import Stage, open_stage
from sandbox.soak_strikes import Strikes
from sandbox.soak_watch import Figures, Watch

_EPILOG = """\
examples:
  python -m sandbox.soak --minutes 30 --seed 7
  python -m sandbox.soak --minutes 5 --flows look-up,none --logs soak-logs

Exit codes: 0 nothing lost, duplicated or out of order · 1 convicted · 2 wrong usage · 69 a server could not be started
or reached · 70 a bug in the campaign.
"""
_SHARES = {
    Fault.SLOW: 0.02,
    Fault.DROP_BEFORE_EFFECT: 0.01,
    Fault.DROP_AFTER_EFFECT: 0.02,
    Fault.ERROR_500: 0.01,
    Fault.ERROR_500_AFTER_EFFECT: 0.02,
    Fault.GARBAGE_200: 0.01,
    Fault.HANG_AFTER_EFFECT: 0.01,
    Fault.HTML_200: 0.01,
    Fault.THROTTLE_429: 0.02,
    Fault.UNAVAILABLE_503: 0.01,
}
# Of a target that offers nothing each doubt stops a customer for good: some must be left to the end.
_SHARE_WITHOUT_RECOVERY = 0.2
_HANG_SECONDS = 4.0
_ORDERS_PER_CUSTOMER = 6
_FEWEST_CUSTOMERS = 20
_LINE_EVERY_SECONDS = 10.0
_LARGEST_SEED = 2**31
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    minutes: float
    seed: int
    rate_per_s: float
    drain_seconds: float
    flows: Sequence[SoakFlow]

    @property
    def seconds(self) -> float:
        """How long everything is struck."""
        return self.minutes * 60

    def again(self) -> str:
        """Return the command that does the same once more."""
        flows = ["--flows", ",".join(flow.name for flow in self.flows)] if self.flows != FLOWS else []
        options = ["--minutes", f"{self.minutes:g}", "--seed", str(self.seed), "--rate", f"{self.rate_per_s:g}", *flows]
        return shlex.join(["python", "-m", "sandbox.soak", *options])


class Campaign:
    """One campaign on a stage that is ready."""

    def __init__(self, stage: Stage, plan: Plan, console: Console, begun_at: float) -> None:
        self._stage = stage
        self._plan = plan
        self._console = console
        self._begun_at = begun_at
        self._line_at = float("-inf")
        self._ledgers = {flow.name: stage.ledger(flow.name) for flow in plan.flows}
        self._watch = Watch(stage.pg_url, self._ledgers, self._show)
        self._strikes = Strikes(stage, seed=plan.seed, seconds=plan.seconds, say=self._say)

    async def report(self) -> Report:
        """Strike, heal, drain, judge."""
        stage, plan = self._stage, self._plan
        await stage.set_faults({flow.name: _faults(flow, plan.seed) for flow in plan.flows})
        await self._strike()
        met = await stage.met_faults()
        await stage.set_faults({flow.name: Faults() for flow in plan.flows})
        self._say("no more strikes; waiting until nothing is left to do")
        is_drained = await self._watch.drained(within_seconds=plan.drain_seconds)
        self._say("stopping the sidecar in order" if is_drained else "not drained: what there is will be judged")
        await stage.finish()
        return Report(
            seed=plan.seed,
            minutes=plan.minutes,
            seconds=self._seconds(),
            is_drained=is_drained,
            flows=await judge_flows(stage.pg_url, plan.flows, self._ledgers),
            strikes=dict(self._strikes.counts),
            target_faults=met,
            problems=tuple(stage.problems),
            again=plan.again(),
        )

    async def _strike(self) -> None:
        plan = self._plan
        keys = max(_FEWEST_CUSTOMERS, round(plan.rate_per_s * plan.seconds / _ORDERS_PER_CUSTOMER))
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run(over))
            group.create_task(
                write_until(over, self._stage.pg_url, keys=keys, rate_per_s=plan.rate_per_s, seed=plan.seed)
            )
            await self._watch.moving(within_seconds=plan.drain_seconds)
            await self._strikes.run()
            over.set()

    def _seconds(self) -> float:
        return time.monotonic() - self._begun_at

    def _say(self, text: str) -> None:
        self._console.print(f"{self._seconds():6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)

    def _show(self, figures: Figures) -> None:
        if self._seconds() - self._line_at < _LINE_EVERY_SECONDS:
            return
        self._line_at = self._seconds()
        effects = " · ".join(f"{flow} {count}" for flow, count in figures.effects.items())
        left = "?" if figures.left is None else figures.left
        self._say(f"committed {figures.committed} · {effects} · left {left} · strikes {self._strikes.counts.total()}")


def _faults(flow: SoakFlow, seed: int) -> Faults:
    scale = _SHARE_WITHOUT_RECOVERY if flow.parks else 1.0
    return Faults(
        shares={fault: share * scale for fault, share in _SHARES.items()},
        seed=random.Random(f"{seed} {flow.name}").randrange(_LARGEST_SEED),
        on_lookups=True,
        latency_ms=5,
        slow_ms=SLOW_MS,
        hang_seconds=_HANG_SECONDS,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign."""
    begun_at = time.monotonic()
    options = _parser().parse_args(arguments)
    plan = Plan(options.minutes, options.seed, options.rate, options.drain, options.flows)
    # As an exception, so that everything is ended in order.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    options.report.unlink(missing_ok=True)
    # A table in a file is as wide as it needs to be.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(plan.again(), highlight=False, soft_wrap=True)
    try:
        with private_servers() as servers:
            report = asyncio.run(_run(servers, plan, console, begun_at, options.logs))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the end of the program: each kind of error has its own exit code
        return exit_code_of(error)
    report.write(options.report)
    report.show(console)
    print(f"report: {options.report}")
    return report.exit_code()


async def _run(servers: Servers, plan: Plan, console: Console, begun_at: float, logs: Path | None) -> Report:
    async with open_stage(servers, plan.flows, logs) as stage:
        return await Campaign(stage, plan, console, begun_at).report()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.soak",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=_positive, default=30.0, help="how long everything is struck (30)")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(_LARGEST_SEED),
        help="decides orders, strikes and faults; a seed again strikes in the same way (random)",
    )
    parser.add_argument("--rate", type=_positive, default=10.0, help="the ERP's transactions per second (10)")
    parser.add_argument("--drain", type=_positive, default=600.0, help="seconds for what is left at the end (600)")
    parser.add_argument(
        "--flows", type=_flows, default=FLOWS, help=f"some of {','.join(flow.name for flow in FLOWS)} (all)"
    )
    parser.add_argument("--report", type=Path, default=Path("soak-report.json"), help="file (soak-report.json)")
    parser.add_argument("--logs", type=_folder, default=None, help="empty folder that keeps logs and ledgers")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def _flows(text: str) -> tuple[SoakFlow, ...]:
    try:
        return flows_named(text.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"there is no flow {error}") from error


def _folder(text: str) -> Path:
    folder = Path(text).resolve()
    # What an earlier run has left there would be taken for evidence of this one.
    if not folder.is_dir() or any(folder.iterdir()):
        raise argparse.ArgumentTypeError(f"{folder} is not an empty folder")
    return folder


if __name__ == "__main__":
    sys.exit(main())
