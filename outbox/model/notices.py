"""What people are told of alerts: one message about all that is new. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from outbox.model.alert_rules import NEXT_STEPS, AlertRule
from outbox.model.alerts import rounded

_SUBJECTS_SHOWN = 3


class Kind(StrEnum):
    """Why somebody is told; the same words in ``outbox.due_notices``."""

    RAISED = "raised"
    GROWN = "grown"
    STILL = "still"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert, and why it is told."""

    alert_id: int
    kind: Kind
    subject: str
    rule: str
    text: str
    level: int
    owner: str | None
    runbook: str | None
    link: str | None
    raised_at: datetime
    lasted_seconds: float

    @property
    def next_step(self) -> str | None:
        """Return what to ask first; None when it is over, or a rule of a newer program."""
        if self.kind is Kind.OVER or self.rule not in set(AlertRule):
            return None
        return NEXT_STEPS[AlertRule(self.rule)].replace("{flow}", self.subject.removeprefix("flow "))


@dataclass(frozen=True, slots=True)
class Claim:
    """A route that is this process's for the length of a lease, and what is new to it."""

    route_id: int
    epoch: int
    failures: int
    recipients: tuple[str, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: a subject of one line, text for people, and the same as JSON values."""

    subject: str
    text: str
    document: dict[str, object]


def compose(notices: Sequence[Notice]) -> Message:
    """Put together what is told about alerts, those that stand first."""
    standing = [one for one in notices if one.kind is not Kind.OVER]
    over = [one for one in notices if one.kind is Kind.OVER]
    parts = [
        _named(f"{len(standing)} alert{'' if len(standing) == 1 else 's'}", standing) if standing else "",
        _named(f"{len(over)} over", over) if over else "",
    ]
    subject = f"[outbox] {'; '.join(filter(None, parts))}"
    text = "\n\n".join(map(_paragraph, (*standing, *over)))
    document: dict[str, object] = {"alerts": [_document(one) for one in (*standing, *over)]}
    return Message(subject, text, document)


def trial_message(channel: str) -> Message:
    """Return what is sent to see whether a channel works."""
    text = f"This is a test of the channel {channel}. Nothing is wrong; alerts of the outbox will look like this."
    return Message(f"[outbox] test of the channel {channel}", text, {"alerts": [], "test": True})


def _named(counted: str, notices: Sequence[Notice]) -> str:
    names = list(dict.fromkeys(f"{_line(one.subject)} {one.rule.replace('_', ' ')}" for one in notices))
    more = f", and {len(names) - _SUBJECTS_SHOWN} more" if len(names) > _SUBJECTS_SHOWN else ""
    return f"{counted}: {', '.join(names[:_SUBJECTS_SHOWN])}{more}"


def _paragraph(one: Notice) -> str:
    state = {
        Kind.RAISED: "ALERT",
        Kind.GROWN: "MORE",
        Kind.STILL: "STILL",
        Kind.OVER: "OVER",
    }[one.kind]
    lasted = f"{'it lasted' if one.kind is Kind.OVER else 'for'} {rounded(one.lasted_seconds)}"
    rule, raised = one.rule.replace("_", " "), one.raised_at.isoformat(timespec="seconds")
    lines = [
        f"{state} {_line(one.subject)}: {rule}, {lasted}, raised {raised}",
        f"{'it was: ' if one.kind is Kind.OVER else ''}{_line(one.text)}",
    ]
    told = {"owner": one.owner, "next step": one.next_step, "runbook": one.runbook, "look": one.link}
    lines += [f"{name}: {_line(value)}" for name, value in told.items() if value]
    return "\n  ".join(lines)


def _document(one: Notice) -> dict[str, object]:
    return {
        "id": one.alert_id,
        "kind": one.kind.value,
        "subject": one.subject,
        "rule": one.rule,
        "text": one.text,
        "level": one.level,
        "owner": one.owner,
        "runbook": one.runbook,
        "link": one.link,
        "next_step": one.next_step,
        "raised_at": one.raised_at.isoformat(),
        "lasted_seconds": round(one.lasted_seconds),
    }


def _line(text: str) -> str:
    """Return a text in one line: what stands in settings could else begin a header or a paragraph of its own."""
    return " ".join(text.split())
