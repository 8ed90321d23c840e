"""Measures the sidecar beside its alternatives: a C client, the usual SKIP LOCKED relay, a table without an outbox.

`python -m bench` starts a PostgreSQL and a RabbitMQ of its own, unless OUTBOX_PG_URL and OUTBOX_AMQP_URL name others,
and prints a table; it writes bench-report.json, a chart, and after a full run both again under bench/results.
"""

import argparse
import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from bench import compare, readme, tables
from bench.chart import NoChartError, draw
from bench.plan import FULL, QUICK, Plan, Section
from bench.records import Report
from bench.run import measure
from sandbox.binaries import PROJECT, is_linux
from sandbox.demo_programs import ProgramFailedError
from sandbox.errors import SandboxError
from sandbox.servers import private_servers

EXIT_MISSED = 1
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL_ERROR = 70

RESULTS = PROJECT / "bench" / "results"
_README = PROJECT / "README.md"
_REPORT = Path("bench-report.json")
_EPILOG = """\
examples:
  python -m bench                                    everything; about 15 minutes on 2 cores
  python -m bench --quick                            the same in small: does it work at all?
  python -m bench --only drain,latency --rounds 5
  python -m bench --strict                           a missed bar is a failure
  python -m bench show                               print bench-report.json again
  python -m bench compare 1a2b3c4 5d6e7f8            two commits, or two files
  python -m bench readme                             put the last full run into README.md

Exit codes: 0 measured; missed bars are printed · 1 a wrong result (lost, repeated, unconfirmed), or a missed bar with
--strict · 2 wrong usage · 69 a server could not be started or reached · 70 a bug in the benchmark.
"""


class UnreadableReportError(Exception):
    """A file is no report, or one of another version of the benchmark."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or do something with reports of earlier runs."""
    parser = _parser()
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        match options.command:
            case "show":
                tables.show(_read(options.report), console)
            case "compare":
                compare.compare(_read(options.before), _read(options.after), console)
            case "readme":
                _put_into_readme(_read(options.report))
            case _:
                return _run(_plan(options, parser), options, console)
    except (OSError, UnreadableReportError, readme.NotForReadmeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_MISSED
    return 0


def _run(plan: Plan, options: argparse.Namespace, console: Console) -> int:
    # As an exception, so that everything is ended in order.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # A report of an earlier run must not be taken for one of this run.
    options.report.unlink(missing_ok=True)
    load_before = os.getloadavg()[0]
    try:
        if not is_linux():
            raise SandboxError("the benchmark reads CPU time and memory from /proc", next_step="run it on Linux")
        with private_servers() as servers:
            report = asyncio.run(measure(servers, plan, lambda line: print(line, flush=True), load_before=load_before))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the end of the program: each kind of error has its own exit code
        return _exit_code_of(error)
    tables.show(report, console)
    _write(report, options.report)
    if plan.is_complete():
        _write(report, _kept(report))
    is_missed = any(figure.is_missed() for figure in report.figures)
    return EXIT_MISSED if report.wrong or (options.strict and is_missed) else 0


def _put_into_readme(report: Report) -> None:
    kept = _kept(report)
    text = readme.section(report, kept.relative_to(PROJECT).as_posix())
    _write(report, kept)
    _README.write_text(readme.rewritten(_README.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(f"README.md shows {_shown(kept)}")


def _write(report: Report, path: Path) -> None:
    """Write the report, and its chart beside it."""
    path.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(f"report: {_shown(path)}")
    try:
        draw(report, path.with_suffix(".svg"))
        print(f"chart: {_shown(path.with_suffix('.svg'))}")
    except NoChartError as error:
        print(f"no chart: {error}")


def _kept(report: Report) -> Path:
    suffix = "-changed" if report.has_uncommitted_changes else ""
    return RESULTS / f"{report.commit}{suffix}.json"


def _read(name: Path) -> Report:
    """Read a report by its path, or by the commit that it was kept under."""
    kept = RESULTS / f"{name}.json"
    path = kept if kept.is_file() and not name.is_file() else name
    try:
        return Report.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise UnreadableReportError(
            f"{path} is not a report of this version: {error.error_count()} problems"
        ) from error


def _shown(path: Path) -> str:
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)


def _exit_code_of(error: Exception) -> int:
    causes = list(_leaves(error))
    for kind, code in ((ProgramFailedError, EXIT_MISSED), (SandboxError, EXIT_UNAVAILABLE)):
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


def _plan(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Plan:
    base = QUICK if options.quick else FULL
    asked = {
        "rounds": options.rounds,
        "events": options.events,
        "deep_events": options.deep_events,
        "seconds": options.seconds,
        "idle_seconds": options.idle_seconds,
        "sections": options.only,
        "rates": options.rates,
    }
    changed = {name: value for name, value in asked.items() if value is not None}
    try:
        return Plan.model_validate(base.model_dump() | changed)
    except ValidationError as error:
        return parser.error("; ".join(f"{_place(problem['loc'])}{problem['msg']}" for problem in error.errors()))


def _place(location: tuple[int | str, ...]) -> str:
    return f"--{str(location[0]).replace('_', '-')}: " if location else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test of two minutes; its figures mean little")
    parser.add_argument("--strict", action="store_true", help="end with 1 when a bar is missed")
    sections = ", ".join(Section)
    parser.add_argument("--only", type=_sections, default=None, help=f"some of {sections} (all)")
    parser.add_argument("--rates", type=_rates, default=None, help="events per second, for latencies (100,1000,5000)")
    parser.add_argument("--rounds", type=int, default=None, help=f"rounds that count ({FULL.rounds})")
    parser.add_argument("--events", type=int, default=None, help=f"events in a backlog ({FULL.events})")
    parser.add_argument("--deep-events", type=int, default=None, help=f"in the deep one ({FULL.deep_events})")
    parser.add_argument("--seconds", type=float, default=None, help=f"of each load ({FULL.seconds:g})")
    parser.add_argument("--idle-seconds", type=float, default=None, help=f"without work ({FULL.idle_seconds:g})")
    parser.add_argument("--report", type=Path, default=_REPORT, help=f"file ({_REPORT})")
    commands = parser.add_subparsers(dest="command", metavar="show | compare | readme")
    commands.add_parser("show", help="print a report").add_argument("report", type=Path, nargs="?", default=_REPORT)
    comparing = commands.add_parser("compare", help="print two reports side by side")
    comparing.add_argument("before", type=Path, help="commit or file")
    comparing.add_argument("after", type=Path, help="commit or file")
    commands.add_parser("readme", help="put a full run into README.md").add_argument(
        "report", type=Path, nargs="?", default=_REPORT
    )
    return parser


def _rates(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(rate) for rate in text.split(",")}))


def _sections(text: str) -> tuple[Section, ...]:
    try:
        asked = {Section(name.strip()) for name in text.split(",")}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; choose from {', '.join(Section)}") from error
    return tuple(section for section in Section if section in asked)


if __name__ == "__main__":
    sys.exit(main())
