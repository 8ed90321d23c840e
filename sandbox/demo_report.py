"""The demo's verdict and figures: a table for people, JSON for programs, an exit code for scripts.

The verdict comes from the judge, the audit queue and the ERP; what the sidecar says of itself is reported and marked
as such.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox.checker import Verdict
from sandbox.demo_strikes import Strike, Target
from sandbox.erp import ErpTotals

EXIT_CLEAN = 0
EXIT_CONVICTED = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What the demo was asked to do."""

    orders: int
    keys: int
    kills: int
    seed: int
    rabbitmq_kills: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is reported; ``erp`` is what the ERP counted while it wrote."""

    asked: Asked
    verdict: Verdict
    erp: ErpTotals
    published: int
    wire_duplicates: int
    applied: int
    in_doubt_resolved: int
    answers_lost: int
    strikes: tuple[Strike, ...]
    program_problems: tuple[str, ...]
    seconds: float
    first_applied_seconds: float | None

    def kills(self, target: Target) -> int:
        """Count the kills of one target."""
        return sum(strike.target is target for strike in self.strikes)

    def faults(self) -> list[str]:
        """Say what is wrong; empty means that the demo has proved its point."""
        return list(self._faults())

    def exit_code(self) -> int:
        """Return 0 only if nothing is wrong."""
        return EXIT_CONVICTED if self.faults() else EXIT_CLEAN

    def _faults(self) -> Iterator[str]:
        verdict, asked = self.verdict, self.asked
        for count, meaning, examples in (
            (verdict.lost, "committed orders never took effect", verdict.lost_examples),
            (verdict.duplicated, "effects were repeated", verdict.duplicated_examples),
            (verdict.out_of_order, "effects overtook an earlier one of their customer", verdict.out_of_order_examples),
            (verdict.unexpected, "effects are of orders that were never committed", verdict.unexpected_examples),
            (verdict.altered, "effects differ from what was committed", verdict.altered_examples),
        ):
            if count:
                yield f"{count} {meaning}, for example {', '.join(examples)}"
        if not verdict.committed == self.erp.committed == asked.orders:
            yield f"the ERP holds {verdict.committed} orders and counted {self.erp.committed}, not {asked.orders}"
        if self.published != verdict.committed:
            yield f"{self.published} different events were published, {verdict.committed} orders are committed"
        if self.applied != verdict.committed:
            yield f"the sidecar calls {self.applied} deliveries applied, {verdict.committed} orders are committed"
        yield from self.program_problems
        for target, wanted in (
            (Target.RELAY, asked.kills),
            (Target.CONSUMER, asked.kills),
            (Target.RABBITMQ, asked.rabbitmq_kills),
        ):
            if self.kills(target) < wanted:
                yield f"{target} was killed {self.kills(target)} times, not {wanted}: take more orders or a lower rate"

    def figures(self) -> dict[str, object]:
        """Return the figures of the JSON report."""
        verdict = self.verdict
        return {
            "is_clean": not self.faults(),
            "committed": verdict.committed,
            "rolled_back": self.erp.rolled_back,
            "published": self.published,
            "wire_duplicates": self.wire_duplicates,
            "applied": self.applied,
            "effects": verdict.effects,
            "lost": verdict.lost,
            "duplicated": verdict.duplicated,
            "out_of_order": verdict.out_of_order,
            "unexpected": verdict.unexpected,
            "altered": verdict.altered,
            "answers_lost": self.answers_lost,
            "in_doubt_resolved": self.in_doubt_resolved,
            "kills": {str(target): self.kills(target) for target in Target},
            "rabbitmq_restart": self._restart(),
            "seconds": round(self.seconds, 1),
            "first_applied_seconds": None
            if self.first_applied_seconds is None
            else round(self.first_applied_seconds, 1),
            "seed": self.asked.seed,
            "orders": self.asked.orders,
            "keys": self.asked.keys,
            "strikes": [asdict(strike) for strike in self.strikes],
            "faults": self.faults(),
        }

    def write(self, path: Path) -> None:
        """Write the JSON report."""
        path.write_text(json.dumps(self.figures(), indent=2) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print the table and the verdict."""
        console.print(self._table())
        for fault in self.faults():
            console.print(f"[bold red]wrong:[/] {escape(fault)}", highlight=False, soft_wrap=True)
        if not self.faults():
            console.print("[bold green]clean:[/] every committed order took effect once, in order for its customer")

    def _table(self) -> Table:
        verdict = self.verdict
        table = Table("figure", "count", "counted in", title=f"{self.asked.orders} orders, seed {self.asked.seed}")
        table.columns[1].justify = "right"
        kills = " · ".join(f"{target} {self.kills(target)}" for target in Target)
        first = "-" if self.first_applied_seconds is None else f"{self.first_applied_seconds:.1f}"
        for figure, count, source in (
            ("committed", verdict.committed, "the ERP's tables"),
            ("rolled_back", self.erp.rolled_back, "the ERP: transactions that had emitted an event"),
            ("published", self.published, "an independent queue: different message ids"),
            ("wire_duplicates", self.wire_duplicates, "the same queue: repeats, sent again after a kill"),
            ("applied", self.applied, "the inbox: what the sidecar says of itself"),
            ("in_doubt_resolved", self.in_doubt_resolved, "the inbox: calls of unknown end, settled since"),
            ("answers_lost", self.answers_lost, "the CRM: answers dropped after the effect"),
            ("effects", verdict.effects, "the CRM's ledger"),
            ("lost", verdict.lost, "ledger against tables"),
            ("duplicated", verdict.duplicated, "ledger against tables"),
            ("out_of_order", verdict.out_of_order, "ledger against tables, per customer"),
            ("unexpected", verdict.unexpected, "ledger against tables: never committed"),
            ("altered", verdict.altered, "ledger against tables: other contents"),
        ):
            table.add_row(figure, str(count), source)
        table.add_section()
        table.add_row("kills", str(len(self.strikes)), f"kill -9: {kills}")
        table.add_row("rabbitmq_restart", "", self._restart())
        table.add_row("seconds", f"{self.seconds:.1f}", f"{first} to the first effect in the CRM")
        return table

    def _restart(self) -> str:
        if self.asked.rabbitmq_kills == 0:
            return "skipped: this broker is not the demo's own"
        return "kill -9 after a flush of its metadata, then a start"
