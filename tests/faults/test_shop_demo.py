"""The tutorial of the worked example is typed as it is printed; the demo convicts what is not so."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox.shop_demo import TUTORIAL
from tests.faults.test_demo import gone, processes_of
from tests.kit.broker import Broker
from tests.kit.shared_servers import Addresses

PROJECT = Path(__file__).resolve().parents[2]
# A minute where nothing else runs, of which half is the start of commands one by one.
SECONDS = 280
# The first three sections: they start everything.
BEGINNING = TUTORIAL.read_text(encoding="utf-8").partition("\n## 4. ")[0] + "\n"


@asynccontextmanager
async def demo(tutorial: Path, **given: str) -> AsyncIterator[Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox.shop_demo", "--tutorial", tutorial, cwd=PROJECT, env=inherited | given,
        stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def output_of(tutorial: Path, servers: Addresses, broker: Broker) -> tuple[int | None, str]:
    async with demo(tutorial, OUTBOX_PG_URL=servers.pg_url, OUTBOX_AMQP_URL=broker.url) as process:
        output, _ = await process.communicate()
        return process.returncode, output.decode()


@pytest.mark.timeout(SECONDS)
async def test_everything_that_the_tutorial_says_is_so_and_the_systems_agree(
    servers: Addresses, broker: Broker
) -> None:
    code, output = await output_of(TUTORIAL, servers, broker)

    assert code == 0, output
    assert "shop, ERP and CRM agree, record by record" in output
    counts = [line.split("│")[1:5] for line in output.splitlines() if "→" in line and line.startswith("│")]
    assert [[cell.strip() for cell in row[1:]] for row in counts] == [
        ["4", "4", "-"], ["2", "2", "-"], ["1", "1", "-"], ["3", "3", "-"],
    ]  # fmt: skip


async def test_a_tutorial_that_shows_something_else_is_convicted_with_its_line(
    servers: Addresses, broker: Broker, tmp_path: Path
) -> None:
    tutorial = tmp_path / "README.md"
    tutorial.write_text(BEGINNING.replace("         3 linked", "         4 linked", 1), encoding="utf-8")

    code, output = await output_of(tutorial, servers, broker)

    assert code == 1
    line = 1 + tutorial.read_text(encoding="utf-8").splitlines().index("         4 linked")
    assert f"line {line - 1}: $ outbox xref import" in output
    assert "shows something else" in output


async def test_systems_that_do_not_agree_are_convicted(servers: Addresses, broker: Broker, tmp_path: Path) -> None:
    tutorial = tmp_path / "README.md"
    wrong = """
```console
$ curl -sf "$SHOP_URL/checkout" -d '{"customer": "anna", "cart": {"A-100": 1}, "pay": "in shells"}'
…
```
"""
    tutorial.write_text(BEGINNING + wrong, encoding="utf-8")

    code, output = await output_of(tutorial, servers, broker)

    assert code == 1
    assert "wrong: shop order → sales order: 5000000001001 is missing" in output


async def test_nothing_is_left_of_a_shop_demo_that_is_killed(tmp_path: Path) -> None:
    tutorial = tmp_path / "README.md"
    tutorial.write_text(BEGINNING + "\n```console\n$ exec tail -f shop.env\n```\n", encoding="utf-8")
    async with demo(tutorial) as process:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            while b"tail -f" not in await process.stdout.readline():
                pass
        everything = processes_of(process.pid)
        process.send_signal(signal.SIGKILL)
    assert {"postgres", "beam.smp", "outbox", "make"} <= {name for _, name in everything}
    await gone([process for process, _ in everything])
