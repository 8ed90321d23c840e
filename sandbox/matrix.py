"""Runs the tests of relay, inbox and topology on several versions of PostgreSQL and RabbitMQ.

Not the full cross product: each version is in at least one combination. A version that this machine does not have is
fetched once into the cache; one that cannot be had here is skipped, and told in the end.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sandbox.binaries import POSTGRES_VARIABLE, PROJECT, RABBITMQ_ROOT_VARIABLE
from sandbox.errors import SandboxError
from sandbox.matrix_report import Counts, Result, exit_code, read_counts, show, write_json
from sandbox.servers import AMQP_URL_VARIABLE, MANAGEMENT_URL_VARIABLE, PG_URL_VARIABLE
from sandbox.versions import prepare_postgres, prepare_rabbitmq

REPORT = PROJECT / "matrix-report.json"

_TESTS = ("tests/contract", "tests/integration", "tests/faults")
# They speak to no server, or show the whole of it once more.
_LEFT_OUT = (
    "tests/faults/test_demo.py",
    "tests/integration/test_html_target.py",
    "tests/integration/test_sandbox_crm.py",
    "tests/integration/test_sandbox_crm_faults.py",
    "tests/integration/test_wheel.py",
)
_DEADLINE_SECONDS = 2400.0
_PATIENCE_SECONDS = 60.0
_EXIT_USAGE = 2
_PYTEST_ENDED = (0, 1)

_EXAMPLES = """examples:
  make matrix
  make matrix ONLY=pg18,rabbitmq4
  .venv/bin/python -m sandbox.matrix --list
  .venv/bin/python -m sandbox.matrix --only rabbitmq4 --only pg16
  .venv/bin/python -m sandbox.matrix --only pg18,rabbitmq4 tests/contract/test_server_versions.py
"""


@dataclass(frozen=True, slots=True)
class Combination:
    """Two versions that are tested together."""

    postgres: int
    rabbitmq: str

    @property
    def name(self) -> str:
        """What people call it."""
        return f"pg{self.postgres}+rabbitmq{self.rabbitmq}"

    def has(self, words: Sequence[str]) -> bool:
        """Say whether every word names one of the two."""
        major = self.rabbitmq.partition(".")[0]
        return {f"pg{self.postgres}", f"rabbitmq{self.rabbitmq}", f"rabbitmq{major}"} >= set(words)


COMBINATIONS = (
    Combination(15, "3.10"),
    Combination(16, "3.10"),
    Combination(15, "4.0"),
    Combination(18, "4.0"),
)


def chosen(only: Sequence[str]) -> list[Combination]:
    """Return the combinations that match one of the choices; each is a list of words that all have to fit.

    Raises:
        SandboxError: a choice fits none.
    """
    if not only:
        return list(COMBINATIONS)
    matches = [[one for one in COMBINATIONS if one.has(choice.split(","))] for choice in only]
    for choice, found in zip(only, matches, strict=True):
        if not found:
            raise SandboxError(
                f"no combination has {choice!r}",
                next_step=f"choose words from {', '.join(one.name for one in COMBINATIONS)}, such as pg18,rabbitmq4",
            )
    return [one for one in COMBINATIONS if any(one in found for found in matches)]


def run_combination(combination: Combination, tests: Sequence[str], workers: int) -> Result:
    """Prepare both servers and run the tests; what cannot be prepared is a result too."""
    begun = time.monotonic()
    try:
        postgres = prepare_postgres(combination.postgres, _say)
        rabbitmq = prepare_rabbitmq(combination.rabbitmq, _say)
    except SandboxError as error:
        _say(f"skipped: {error}")
        return _result(combination, Counts(), begun, problem=error.problem, is_run=False)
    environment = {POSTGRES_VARIABLE: str(postgres)}
    if rabbitmq.root is not None:
        environment[RABBITMQ_ROOT_VARIABLE] = str(rabbitmq.root)
    _say(f"{postgres}, {rabbitmq.scripts}")
    with tempfile.TemporaryDirectory(prefix="outbox-matrix-") as folder:
        junit = Path(folder) / "junit.xml"
        problem = _pytest(tests, environment, junit, workers)
        counts = read_counts(junit) if junit.exists() else Counts()
    return _result(
        combination, counts, begun, problem=problem, is_run=True, rabbitmq=rabbitmq.version, postgres=_release(postgres)
    )


def _result(
    combination: Combination,
    counts: Counts,
    begun: float,
    *,
    problem: str | None,
    is_run: bool,
    postgres: str = "",
    rabbitmq: str = "",
) -> Result:
    return Result(
        combination.name,
        postgres or str(combination.postgres),
        rabbitmq or combination.rabbitmq,
        counts,
        time.monotonic() - begun,
        is_run,
        problem,
    )


def _pytest(tests: Sequence[str], environment: Mapping[str, str], junit: Path, workers: int) -> str | None:
    """Run pytest on these servers and return what kept it from its end."""
    given = {PG_URL_VARIABLE, AMQP_URL_VARIABLE, MANAGEMENT_URL_VARIABLE, POSTGRES_VARIABLE, RABBITMQ_ROOT_VARIABLE}
    inherited = {name: value for name, value in os.environ.items() if name not in given}
    selection = tests or (*_TESTS, *(f"--ignore={file}" for file in _LEFT_OUT))
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "--dist", "loadgroup", f"--junitxml={junit}"]
    with subprocess.Popen([*command, *selection], cwd=PROJECT, env={**inherited, **environment}) as process:
        try:
            code = process.wait(timeout=_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"was not done after {_DEADLINE_SECONDS:.0f} s"
        except BaseException:
            _end(process)
            raise
    return None if code in _PYTEST_ENDED else f"pytest ended with {code}: see its output"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask first: pytest ends its servers when it is interrupted. They end with it all the same."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _release(programs: Path) -> str:
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.partition(") ")[2].split()[0]


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the combinations one after another; 1 when anything failed."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.matrix",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORD[,WORD]",
        help="only combinations that have all of these words, such as pg18,rabbitmq4; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="list the combinations and run nothing")
    parser.add_argument("--workers", type=int, default=2, help="tests that run at once (default: 2)")
    parser.add_argument("--report", type=Path, default=REPORT, help="where to write the results as JSON")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="files or folders instead of all")
    options = parser.parse_args(arguments)
    # As an exception, so that servers which are under way are ended.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        combinations = chosen(options.only)
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return _EXIT_USAGE
    if options.list:
        print("\n".join(one.name for one in combinations))
        return 0
    results: list[Result] = []
    try:
        for number, combination in enumerate(combinations, start=1):
            print(f"\n[{number}/{len(combinations)}] {combination.name}", flush=True)
            results.append(run_combination(combination, options.tests, options.workers))
            write_json(results, options.report)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        show(results, Console())
    print(f"{options.report} has the details")
    return exit_code(results)


if __name__ == "__main__":
    sys.exit(main())
