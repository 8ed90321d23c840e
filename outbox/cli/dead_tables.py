"""Parked deliveries for people: tables and pages. Payloads are shown only when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from rich.markup import escape
from rich.table import Table

from outbox.cli.common import output
from outbox.model.dead_letters import ParkedDelivery, ParkedGroup, Story
from outbox.postgres.dead_letters import COUNT_UP_TO

_REASON_CHARACTERS = 90


def show_list(rows: Sequence[ParkedDelivery]) -> None:
    """Show one line for each."""
    table = Table(title="Parked deliveries")
    # Of what is parked nothing is due.
    are_due = any(row.due_at is not None for row in rows)
    due = ("due, UTC",) if are_due else ()
    for heading in ("id", "flow", "state", "type", "key", "parked, UTC", *due, "tries", "group", "reason"):
        # What is typed into the next command must be whole.
        table.add_column(heading, no_wrap=heading in ("id", "group"))
    for row in rows:
        table.add_row(
            str(row.id),
            escape(row.flow),
            row.state,
            escape(row.type),
            escape(row.key or ""),
            _time(row.parked_at),
            *((_time(row.due_at),) if are_due else ()),
            str(row.attempts),
            row.reason_group or "",
            escape(_short(row.reason)),
        )
    output.print(table)


def show_groups(groups: Sequence[ParkedGroup]) -> None:
    """Show one line for each cause."""
    table = Table(title="Parked deliveries by cause")
    table.add_column("group", no_wrap=True)
    table.add_column("flow")
    table.add_column("state")
    table.add_column("count", justify="right")
    for heading in ("oldest, UTC", "newest, UTC", "for example", "its reason"):
        table.add_column(heading)
    for group in groups:
        table.add_row(
            group.reason_group,
            escape(group.flow),
            group.state,
            str(group.deliveries),
            _time(group.oldest_at),
            _time(group.newest_at),
            f"{group.example_id} {escape(group.example_type)}",
            escape(_short(group.example_reason)),
        )
    output.print(table)


def show_story(story: Story) -> None:
    """Show everything about one delivery."""
    facts = {
        "event": f"{story.message_id}, {story.type} version {story.version}, sequence {story.sequence}",
        "key": story.key or "none",
        "state": story.state,
        "reason": f"{story.reason_class}: {story.reason}" if story.reason else "",
        "group": story.reason_group or "",
        "accepted": _time(story.accepted_at) + (f", {story.copies} copies" if story.copies > 1 else ""),
        "parked": _time(story.parked_at),
        "due": _time(story.due_at),
        "ended": _time(story.settled_at),
        "tries": f"{story.attempts}, {story.failures} counted against it; died {story.deaths} times",
        "sent as": story.reference or "",
        "external id": story.external_id or "",
        "job": story.job or "",
        "waits for": "" if story.waits_for_id is None else f"delivery {story.waits_for_id} ({story.waits_for_state})",
        "lacks": story.awaits or "",
        "blocks": _blocks(story),
        "payload": f"{story.body_bytes} bytes, sha256 {story.body_sha256.hex()}{', edited' if story.is_edited else ''}",
        "headers": story.headers,
    }
    output.print(f"delivery {story.id} of flow {escape(story.flow)}")
    for name, text in facts.items():
        if text:
            output.print(f"  {name:<12} {escape(text)}", soft_wrap=True)
    if story.calls:
        table = Table("try", "call", "began, UTC", "took", "outcome", "status", "external id", "reason")
        for call in story.calls:
            table.add_row(
                str(call.attempt),
                call.call,
                _time(call.began_at),
                f"{(call.ended_at - call.began_at).total_seconds():.2f} s",
                call.outcome,
                "" if call.http_status is None else str(call.http_status),
                escape(call.external_id or ""),
                escape(call.reason or ""),
            )
        output.print(table)
    for one in story.resolutions:
        output.print(
            f"  {_time(one.resolved_at)} {one.action} by {escape(one.who)} ({escape(one.database_user)}), "
            f"{one.from_state} to {one.to_state}: {escape(one.why or 'no reason given')}",
            soft_wrap=True,
        )
    if story.is_unanswered:
        output.print("  a call without an answer came before the refusal: look into the target before you retry")
    if story.body is not None:
        output.print(story.body.decode(errors="replace"), markup=False, soft_wrap=True)


def as_data(row: ParkedDelivery | ParkedGroup | Story) -> Mapping[str, object]:
    """Return it for programs; without the payload, unless it was asked for."""
    return {name: _plain(name, value) for name, value in asdict(row).items() if not (name == "body" and value is None)}


def _plain(name: str, value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case bytes():
            return value.decode(errors="replace") if name == "body" else value.hex()
        case list() | tuple():
            return [{inner: _plain(inner, one) for inner, one in line.items()} for line in value]
        case _:
            return value


def _blocks(story: Story) -> str:
    if not story.blocks:
        return ""
    return f"{story.blocks}{'+' if story.blocks >= COUNT_UP_TO else ''} later deliveries of its key wait behind it"


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def _short(reason: str | None) -> str:
    text = " ".join((reason or "").split())
    return text if len(text) <= _REASON_CHARACTERS else text[: _REASON_CHARACTERS - 1] + "…"
