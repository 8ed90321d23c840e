"""The campaign's verdict: a line for each flow, a table for people, JSON for programs.

What was lost, repeated or out of order, the judge says from the ERP's tables and the CRMs' ledgers, without the
sidecar. A flow whose target offers nothing may park what nobody can know; for that its inbox is asked, and an order
that has no effect must stand there with a reason, or behind one of its customer that does.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox.checker import EXAMPLES_SHOWN, CommittedOrder, LedgerLine, Verdict, judge, read_committed, read_ledger
from sandbox.soak_flows import SoakFlow

EXIT_CLEAN = 0
EXIT_CONVICTED = 1

_UNFINISHED = """
    select e.payload ->> 'order_ref' as order_ref, e.key as customer, d.state, d.due_at is not null as is_due, d.reason
      from inbox.delivery d
      join outbox.event e on e.event_id = d.message_id::uuid
     where d.flow = $1 and d.state not in ('applied', 'skipped')
"""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A delivery that has not ended, as the sidecar says."""

    order_ref: str
    customer: str
    state: str
    is_due: bool
    reason: str | None

    @property
    def is_parked(self) -> bool:
        """Whether it waits for a person, with the reason."""
        return self.state == "in_doubt" and not self.is_due and bool(self.reason)


@dataclass(frozen=True, slots=True)
class FlowVerdict:
    """One flow. ``lost`` leaves out what is parked, and ``waiting`` counts what stands behind it."""

    flow: str
    verdict: Verdict
    parked: int
    waiting: int
    lost: int
    not_parked: Sequence[str] = ()

    def faults(self) -> Iterator[str]:
        """Say what is wrong."""
        verdict = self.verdict
        for count, meaning, examples in (
            (self.lost, "committed orders never took effect", verdict.lost_examples),
            (verdict.duplicated, "effects were repeated", verdict.duplicated_examples),
            (verdict.out_of_order, "effects overtook an earlier one of their customer", verdict.out_of_order_examples),
            (verdict.unexpected, "effects are of orders that were never committed", verdict.unexpected_examples),
            (verdict.altered, "effects differ from what was committed", verdict.altered_examples),
            (len(self.not_parked), "deliveries are not applied", self.not_parked[:EXAMPLES_SHOWN]),
        ):
            if count:
                yield f"{self.flow}: {count} {meaning}, for example {', '.join(examples)}"


def judge_flow(
    flow: SoakFlow, committed: Sequence[CommittedOrder], ledger: Sequence[LedgerLine], unfinished: Sequence[Unfinished]
) -> FlowVerdict:
    """Judge one flow by its ledger; its inbox excuses nothing but what a target that offers nothing leaves open."""
    verdict = judge(committed, ledger)
    if not flow.parks:
        stuck = [f"{one.order_ref} ({one.state}: {one.reason})" for one in unfinished]
        return FlowVerdict(flow.name, verdict, 0, 0, verdict.lost, stuck)
    parked = {one.order_ref for one in unfinished if one.is_parked}
    held_customers = {one.customer for one in unfinished if one.is_parked}
    waiting = {one.order_ref for one in unfinished if one.state == "blocked" and one.customer in held_customers}
    stuck = [
        f"{one.order_ref} ({one.state}: {one.reason})" for one in unfinished if one.order_ref not in parked | waiting
    ]
    effects = {line.order_ref for line in ledger}
    lost = [order for order in committed if order.order_ref not in effects | parked | waiting]
    return FlowVerdict(flow.name, verdict, len(parked), len(waiting), len(lost), stuck)


async def judge_flows(pg_url: str, flows: Sequence[SoakFlow], ledgers: Mapping[str, Path]) -> list[FlowVerdict]:
    """Judge every flow as things are now."""
    committed = await read_committed(pg_url)
    verdicts = []
    connection = await asyncpg.connect(pg_url)
    try:
        for flow in flows:
            rows = await connection.fetch(_UNFINISHED, flow.name)
            unfinished = [Unfinished(**row) for row in rows]
            verdicts.append(judge_flow(flow, committed, read_ledger(ledgers[flow.name]), unfinished))
    finally:
        await connection.close()
    return verdicts


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is reported. ``again``: the command that does the same once more."""

    seed: int
    minutes: float
    seconds: float
    is_drained: bool
    flows: Sequence[FlowVerdict]
    strikes: Mapping[str, int]
    target_faults: Mapping[str, int]
    problems: Sequence[str]
    again: str

    def faults(self) -> list[str]:
        """Say what is wrong; empty means that nothing is."""
        found = [fault for flow in self.flows for fault in flow.faults()]
        if not self.is_drained:
            found.append("work was left when the time to drain was over")
        if not all(flow.verdict.effects for flow in self.flows):
            found.append("a flow had no effect at all, so that nothing was proved")
        return [*found, *self.problems]

    def exit_code(self) -> int:
        """Return 0 only if nothing is wrong."""
        return EXIT_CONVICTED if self.faults() else EXIT_CLEAN

    def write(self, path: Path) -> None:
        """Write the JSON report."""
        content = {"is_clean": not self.faults(), **asdict(self), "faults": self.faults()}
        path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print the tables and the verdict."""
        console.print(self._table())
        for title, counts in (("struck", self.strikes), ("targets' faults", self.target_faults)):
            said = " · ".join(f"{what} {count}" for what, count in sorted(counts.items()))
            console.print(f"{title}: {said or 'nothing'}", highlight=False, soft_wrap=True)
        for fault in self.faults():
            console.print(f"[bold red]wrong:[/] {escape(fault)}", highlight=False, soft_wrap=True)
        if self.faults():
            console.print(f"again: {self.again}", highlight=False, soft_wrap=True)
        else:
            console.print("[bold green]clean:[/] lost = duplicated = out of order = 0 in every flow")

    def _table(self) -> Table:
        table = Table(title=f"seed {self.seed}, {self.minutes:g} minutes of strikes, {self.seconds:.0f} s in all")
        for name in (
            "flow",
            "committed",
            "effects",
            "lost",
            "duplicated",
            "out of order",
            "altered",
            "parked",
            "behind",
        ):
            table.add_column(name, justify="left" if name == "flow" else "right")
        for flow in self.flows:
            verdict = flow.verdict
            table.add_row(
                flow.flow,
                *(
                    str(count)
                    for count in (
                        verdict.committed,
                        verdict.effects,
                        flow.lost,
                        verdict.duplicated,
                        verdict.out_of_order,
                        verdict.altered + verdict.unexpected,
                        flow.parked,
                        flow.waiting,
                    )
                ),
            )
        return table
