"""The worked example, end to end: its tutorial is typed as its reader would, and three systems are compared after it.

`python -m sandbox.shop_demo` needs a prepared machine; servers and systems are started by the tutorial's own commands.
"""

import argparse
import asyncio
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox.binaries import PROJECT
from sandbox.demo_programs import Leash
from sandbox.shop_judge import Comparison, gather_evidence, judge
from sandbox.shop_stage import ENV_FILE, SHOP_LEDGER
from sandbox.tutorial import Command, Section, read_tutorial
from sandbox.tutorial_shell import Shell, TutorialError

TUTORIAL = PROJECT / "examples" / "shop" / "README.md"
LINKS = PROJECT / "examples" / "shop" / "links"
EXIT_CONVICTED = 1
# What the tutorial's commands find in the folder where its reader begins.
_CHECKOUT = ("Makefile", "pyproject.toml", ".venv", "outbox", "adapters", "sql", "sandbox", "examples")
# A reader has no settings of another sidecar; servers that are given are for the stage.
_GIVEN = frozenset({"OUTBOX_PG_URL", "OUTBOX_AMQP_URL"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Type the tutorial, and judge."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.shop_demo",
        description=__doc__,
        epilog="Exit codes: 0 everything is as the tutorial says and the systems agree · 1 it is not",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tutorial", type=Path, default=TUTORIAL, help="file (examples/shop/README.md)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    console = Console(highlight=False)
    begun_at = time.monotonic()
    try:
        comparisons = asyncio.run(_play(read_tutorial(options.tutorial.read_text(encoding="utf-8")), console, begun_at))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except TutorialError as error:
        console.print(f"[bold red]wrong:[/] {escape(str(error))}", soft_wrap=True)
        return EXIT_CONVICTED
    _show(comparisons, console)
    is_clean = not any(comparison.faults for comparison in comparisons)
    if is_clean:
        seconds = time.monotonic() - begun_at
        console.print(f"[bold green]clean:[/] shop, ERP and CRM agree, record by record, after {seconds:.0f} s")
    return 0 if is_clean else EXIT_CONVICTED


async def _play(sections: Sequence[Section], console: Console, begun_at: float) -> list[Comparison]:
    with Leash() as leash:
        folder, state = leash.folder / "checkout", leash.folder / "terminals"
        folder.mkdir()
        state.mkdir()
        for name in _CHECKOUT:
            (folder / name).symlink_to(PROJECT / name)
        variables = {
            name: value for name, value in os.environ.items() if name in _GIVEN or not name.startswith("OUTBOX_")
        }
        shell = Shell(folder, state, variables, leash)
        try:
            for section in sections:
                if any(section.commands):
                    seconds = time.monotonic() - begun_at
                    console.rule(f"[bold]{escape(section.heading)}[/] [dim]{seconds:.0f} s", align="left")
                    for part in section.parts:
                        await _do(part, shell, console)
            stage = _variables(folder / ENV_FILE)
            ledger = Path(stage["SHOP_LEDGERS"]) / SHOP_LEDGER
            evidence = await gather_evidence(stage["OUTBOX_PG_URL"], stage["CRM_URL"], ledger, LINKS)
        finally:
            await shell.end()
    return judge(evidence)


async def _do(part: str | Command, shell: Shell, console: Console) -> None:
    if isinstance(part, str):
        # Where a link leads is of no use on a screen.
        told = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", " ".join(part.split()))
        console.print(f"[dim]{escape(told)}[/]\n")
        return
    console.print(f"[bold cyan]$ {escape(part.text)}[/]", soft_wrap=True)
    output = await shell.type(part)
    if output:
        console.print(escape(output.rstrip()), soft_wrap=True)
    console.print()


def _variables(env: Path) -> Mapping[str, str]:
    words = [shlex.split(line) for line in env.read_text(encoding="utf-8").splitlines()]
    return dict(word[1].split("=", 1) for word in words)


def _show(comparisons: Sequence[Comparison], console: Console) -> None:
    table = Table("way", "there must be", "there are", "wrong", title="The judge, who asked the systems themselves")
    for one in comparisons:
        table.add_row(one.way, str(one.wanted), str(one.found), str(len(one.faults)) if one.faults else "-")
    console.print(table)
    for one in comparisons:
        for fault in one.faults:
            console.print(f"[bold red]wrong:[/] {escape(one.way)}: {escape(fault)}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
