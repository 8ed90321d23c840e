"""What the verbs of ``outbox dead`` are told: which deliveries, who decides, how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import typer

from outbox.cli.common import moment_of, usage_problem
from outbox.model.dead_letters import LISTED, PARKED, Selection
from outbox.model.delivery import State
from outbox.model.replay import pattern_problem
from outbox.model.units import parse_rate

FlowOption = Annotated[str | None, typer.Option("--flow", help="Only this flow.")]
TypeOption = Annotated[
    str | None, typer.Option("--type", metavar="PATTERN", help="Only these types; * is one word, # any number.")
]
GroupOption = Annotated[str | None, typer.Option("--group", help="Only this cause; its id is in the list.")]
KeyOption = Annotated[str | None, typer.Option("--key", help="Only this key.")]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Parked since; ISO 8601 (else UTC), or 2h for two hours ago."),
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Parked before; the same.")]
AllOption = Annotated[
    bool, typer.Option("--all-matching", help="Everything that the filters match, instead of single ones.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
WhyOption = Annotated[str | None, typer.Option("--why", help="Why, for the audit in inbox.resolution.")]
RateOption = Annotated[
    str | None, typer.Option("--rate", metavar="N/s", help="Spread what is tried again: 50/s, 10/m; they come due so.")
]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="ID|EVENT", help="Of deliveries, or of events.")]


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters as they were typed; relative times need the database's clock."""

    flow: str | None = None
    type: str | None = None
    group: str | None = None
    key: str | None = None
    since: str | None = None
    until: str | None = None

    def check(self) -> Filters:
        """End with the reason when a time or a type cannot be read."""
        check_type(self.type)
        self.selection(PARKED, datetime.fromisoformat("2000-01-01T00:00:00Z"))
        return self

    def selection(self, states: Sequence[State], now: datetime) -> Selection:
        """Return which deliveries are meant."""
        since, until = _time("--since", self.since, now), _time("--until", self.until, now)
        return Selection(self.flow, states, self.type, self.group, self.key, since, until)

    def narrows(self) -> bool:
        """Say whether anything but the time of the look is said: everything until now is everything."""
        return replace(self, until=None) != Filters()


def states_of(wanted: Sequence[str], allowed: Sequence[State] = LISTED) -> Sequence[State]:
    """Return the states that are meant; what is parked, when none is named."""
    known = {state.value: state for state in allowed}
    for name in wanted:
        if name not in known:
            usage_problem(f"--state: {name!r} is none of {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(wanted)] or PARKED


def check_type(pattern: str | None) -> None:
    """End when a pattern means nothing to a broker."""
    if pattern is not None and (problem := pattern_problem(pattern)) is not None:
        usage_problem(f"--type: {problem}")


def rate_of(text: str | None) -> float | None:
    """Return a rate per second."""
    if text is None:
        return None
    try:
        rate = parse_rate(text)
    except ValueError as error:
        usage_problem(f"--rate: {error}")
    if not isinstance(rate, float) or rate <= 0:
        usage_problem(f"--rate: {text!r} is no rate; write it like 50/s, 10/m or 100/h")
    return rate


def _time(option: str, text: str | None, now: datetime) -> datetime | None:
    return None if text is None else moment_of(option, text, now)
