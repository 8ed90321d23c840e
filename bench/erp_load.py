"""An ERP's load: short transactions, one after the other, on several connections. By pgbench where it is installed."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench.stand import Database, Stand
from sandbox.binaries import find_postgres
from sandbox.demo_programs import ProgramFailedError

CLIENTS = 8

_SQL = Path(__file__).with_name("sql")
_END_SECONDS = 60.0
_PGBENCH_COUNT = re.compile(rb"^number of transactions actually processed: (\d+)", re.MULTILINE)
_PGBENCH_RATE = re.compile(rb"^tps = ([\d.]+) ", re.MULTILINE)
_PGBENCH_FAILED = re.compile(rb"^number of failed transactions: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """What was done."""

    transactions: int
    per_second: float


def tool(seconds: float) -> str:
    """Say who makes the load."""
    return "pgbench, prepared statements" if _pgbench(seconds) else "connections of asyncpg, prepared statements"


async def press(stand: Stand, database: Database, *, is_outbox: bool, seconds: float) -> Load:
    """Run transactions for that long, as many as go.

    Raises:
        ProgramFailedError: a transaction failed.
    """
    pgbench, script = _pgbench(seconds), _SQL / ("erp_outbox.pgbench" if is_outbox else "erp_plain.pgbench")
    if pgbench is None:
        table = "outbox.event" if is_outbox else "bench.plain"
        command: list[str | Path] = [sys.executable, "-m", "bench.erp_writer", "--table", table]
        command += ["--seconds", str(seconds), "--clients", str(CLIENTS)]
        variables: dict[str, str] = {}
    else:
        options = ("--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}")
        command = [pgbench, *options, f"--time={round(seconds)}", f"--file={script}"]
        variables = _libpq(database.url)
    program = stand.program("erp", command, database, variables)
    # One log for all runs of a name: only what this run adds is read.
    log_begin = program.log.stat().st_size if program.log.exists() else 0
    try:
        await program.run(within_seconds=seconds + _END_SECONDS)
    finally:
        await program.end()
    output = program.log.read_bytes()[log_begin:]
    counted, rate, failed = (
        expression.search(output) for expression in (_PGBENCH_COUNT, _PGBENCH_RATE, _PGBENCH_FAILED)
    )
    if counted is None or rate is None or (failed is not None and int(failed[1])):
        raise ProgramFailedError("the ERP's transactions did not all succeed", program.log_tail())
    return Load(int(counted[1]), float(rate[1]))


def _pgbench(seconds: float) -> Path | None:
    """Find pgbench, unless the load is shorter than it can count."""
    programs = find_postgres() if seconds >= 1 else None
    pgbench = programs / "pgbench" if programs is not None else None
    return pgbench if pgbench is not None and pgbench.is_file() else None


def _libpq(url: str) -> dict[str, str]:
    """Name the server in variables: everybody can read a command line."""
    parts = urlsplit(url)
    values = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    return {name: value for name, value in values.items() if value}
