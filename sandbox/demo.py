"""The main job, end to end: orders become deals exactly once and in order, whatever is killed meanwhile.

`python -m sandbox.demo` starts a PostgreSQL and a RabbitMQ of its own, unless OUTBOX_PG_URL and OUTBOX_AMQP_URL name
others, and ends with the judge's verdict as its exit code.
"""

import argparse
import asyncio
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from sandbox.demo_programs import ProgramFailedError
from sandbox.demo_report import EXIT_CONVICTED, Report
from sandbox.demo_run import Run, Workload
from sandbox.demo_screen import Screen
from sandbox.demo_stage import open_stage
from sandbox.errors import SandboxError
from sandbox.servers import Servers, private_servers

# As in sysexits.h, and as the sidecar itself uses them.
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL_ERROR = 70

_EPILOG = """\
example: python -m sandbox.demo --orders 500 --kills 1 --seed 7

Exit codes: 0 nothing lost, duplicated or out of order, and everything was killed as asked · 1 convicted, or a program
of the sidecar failed · 2 wrong usage · 69 a server could not be started or reached · 70 a bug in the demo.
"""
_LARGEST_SEED = 2**31
_FASTEST_RATE = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo."""
    begun_at, begun_at_monotonic = datetime.now(UTC), time.monotonic()
    options = _parser().parse_args(arguments)
    workload = Workload(options.orders, options.keys, options.seed, options.kills, options.rate)
    # As an exception, so that everything is ended in order.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # A report of an earlier run must not be taken for one of this run.
    options.report.unlink(missing_ok=True)
    console = Console()
    try:
        with Screen(console, orders=workload.orders, kills=workload.kills, begun_at=begun_at_monotonic) as screen:
            screen.say(f"seed {workload.seed}")
            screen.step("starting PostgreSQL and RabbitMQ")
            with private_servers() as servers:
                report, log_tails = asyncio.run(_run(servers, workload, screen, begun_at, options.logs))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the end of the program: each kind of error has its own exit code
        return exit_code_of(error)
    report.write(options.report)
    if report.faults():
        print(log_tails, file=sys.stderr)
    report.show(console)
    print(f"report: {options.report}")
    return report.exit_code()


async def _run(
    servers: Servers, workload: Workload, screen: Screen, begun_at: datetime, logs: Path | None
) -> tuple[Report, str]:
    screen.step("installing the outbox, starting the CRM and the sidecar")
    if servers.rabbitmq is None:
        screen.say("RabbitMQ is not the demo's own, so it is not restarted")
    async with open_stage(servers, seed=workload.seed, folder=logs) as stage:
        report = await Run(stage, workload, servers.rabbitmq, screen).report(begun_at=begun_at)
        return report, stage.log_tails()


def exit_code_of(error: Exception) -> int:
    """Print what ended the demo early, and return the exit code for it."""
    causes = list(_leaves(error))
    for kind, code in ((ProgramFailedError, EXIT_CONVICTED), (SandboxError, EXIT_UNAVAILABLE)):
        for cause in causes:
            if isinstance(cause, kind):
                print(f"error: {cause}", file=sys.stderr)
                return code
    traceback.print_exception(error)
    return EXIT_INTERNAL_ERROR


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Unpack what task groups have wrapped."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.demo",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--orders", type=_at_least(20), default=2000, help="orders to commit (2000)")
    parser.add_argument("--keys", type=_at_least(1), default=100, help="customers; an event's key is one (100)")
    parser.add_argument("--kills", type=_at_least(0), default=3, help="kills of relay and consumer each (3)")
    parser.add_argument("--rate", type=_rate, default=80.0, help="the ERP's transactions per second (80)")
    parser.add_argument(
        "--seed",
        type=_at_least(0),
        default=random.randrange(_LARGEST_SEED),
        help="decides orders, kills and lost answers; the same again with the same seed (random)",
    )
    parser.add_argument("--report", type=Path, default=Path("demo-report.json"), help="file (demo-report.json)")
    parser.add_argument("--logs", type=_folder, default=None, help="empty folder that keeps logs and ledger")
    return parser


def _at_least(smallest: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        number = int(text)
        if number < smallest:
            raise argparse.ArgumentTypeError(f"must be at least {smallest}")
        return number

    return whole_number


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate <= _FASTEST_RATE:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {_FASTEST_RATE}")
    return rate


def _folder(text: str) -> Path:
    folder = Path(text).resolve()
    # What an earlier run has left there would be taken for evidence of this one.
    if not folder.is_dir() or any(folder.iterdir()):
        raise argparse.ArgumentTypeError(f"{folder} is not an empty folder")
    return folder


if __name__ == "__main__":
    sys.exit(main())
