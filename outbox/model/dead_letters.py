"""Parked deliveries as people see them, what may be decided about them, and why a decision can be refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from outbox.model.delivery import State
from outbox.model.replay import type_patterns

PARKED = (State.DEAD, State.IN_DOUBT)
# What can be listed beside: what waits by itself shows who waits for whom or until when, what was given up is not told
# elsewhere.
LISTED = (*PARKED, State.RETRY, State.BLOCKED, State.READY, State.SKIPPED)


class Action(StrEnum):
    """What is decided; the same words in ``inbox.resolution.action``. Redrive is what RabbitMQ's own tools do."""

    RETRY = "retry"
    EDIT = "edit"
    SKIP = "skip"
    DISCARD = "discard"
    HAPPENED = "happened"
    NOT_HAPPENED = "not_happened"
    REDRIVE = "redrive"


class Verdict(StrEnum):
    """What came of a decision about one delivery; the words of ``inbox.verdict``."""

    DONE = "done"
    UNDER_WAY = "under_way"
    FINISHED = "finished"
    IN_DOUBT = "in_doubt"
    NOT_DEAD = "not_dead"
    NO_ENVELOPE = "no_envelope"
    NO_PAYLOAD = "no_payload"
    STALE = "stale"
    UNANSWERED = "unanswered"
    WAS_SENT = "was_sent"
    NOT_IN_DOUBT = "not_in_doubt"


def refusal(verdict: Verdict) -> str:
    """Return why nothing was done, and what can be done instead."""
    match verdict:
        case Verdict.DONE:
            return "nothing stands against it"
        case Verdict.UNDER_WAY:
            return "a call is under way: look again when it has ended"
        case Verdict.FINISHED:
            return "it is finished, perhaps by somebody else: look at it with show"
        case Verdict.IN_DOUBT:
            return "it may have been applied: look into the target, then resolve --happened or --not-happened"
        case Verdict.NOT_DEAD:
            return "it is not dead: it goes on by itself, or waits for another of its key"
        case Verdict.NO_ENVELOPE:
            return "it is no event of an outbox, so there is nothing to apply: discard it"
        case Verdict.NO_PAYLOAD:
            return "its payload is gone: edit it to give it one, or skip it"
        case Verdict.STALE:
            return (
                "a later event of its key took effect or is about to, this one might undo that: add --stale, or skip it"
            )
        case Verdict.UNANSWERED:
            return (
                "a call without an answer came before the refusal and may have taken effect: look into the target, "
                "then add --also-unanswered, or resolve --happened"
            )
        case Verdict.WAS_SENT:
            return "it was sent, so it is an event that the target knows of: skip it"
        case Verdict.NOT_IN_DOUBT:
            return "it is not in doubt: retry what is dead"
        case _:
            assert_never(verdict)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries are meant; None means any. Times are of the parking, ``until`` is not included."""

    flow: str | None = None
    states: Sequence[State] = PARKED
    type: str | None = None
    group: str | None = None
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def type_pattern(self) -> str | None:
        r"""Return the type as a regular expression over a type with a dot before it.

        >>> Selection(type="order.*").type_pattern()
        '^\\.order\\.[^.]+$'
        """
        return None if self.type is None else type_patterns([self.type])[0]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided, by whom and why.

    ``external_id``: what the target calls the record, when it happened. ``body``: what is applied instead.
    ``even_stale``: although a later event of the key took effect. ``rate_per_s``: retries are spread so.
    ``even_unanswered``: although a call without an answer came before the refusal.
    """

    action: Action
    who: str
    why: str | None = None
    external_id: str | None = None
    body: bytes | None = None
    even_stale: bool = False
    rate_per_s: float | None = None
    even_unanswered: bool = True


@dataclass(frozen=True, slots=True)
class Resolved:
    """What came of a decision about one delivery. ``to_state`` is None when nothing was done."""

    id: int
    verdict: Verdict
    from_state: State
    to_state: State | None


@dataclass(frozen=True, slots=True)
class ParkedDelivery:
    """One line of the list."""

    id: int
    flow: str
    state: str
    type: str
    version: int
    key: str | None
    sequence: int
    message_id: str
    attempts: int
    deaths: int
    parked_at: datetime | None
    due_at: datetime | None
    reason_class: str | None
    reason: str | None
    reason_group: str | None


@dataclass(frozen=True, slots=True)
class ParkedGroup:
    """Parked deliveries of one cause; the example is the newest of them."""

    reason_group: str
    flow: str
    state: str
    deliveries: int
    oldest_at: datetime
    newest_at: datetime
    reason_class: str
    example_id: int
    example_type: str
    example_reason: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call."""

    attempt: int
    call: str
    began_at: datetime
    ended_at: datetime
    outcome: str
    http_status: int | None
    external_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """One line of the audit."""

    resolved_at: datetime
    action: str
    who: str
    database_user: str
    why: str | None
    from_state: str
    to_state: str
    reason: str | None
    external_id: str | None
    body_sha256_before: bytes | None
    body_sha256_after: bytes | None


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one delivery. ``body`` only when it was asked for; ``blocks`` stops at a bound.

    ``awaits``: the ids of other systems that it waits for, or waited for when it became dead.
    """

    id: int
    flow: str
    state: str
    type: str
    version: int
    key: str | None
    sequence: int
    message_id: str
    generation: int
    accepted_at: datetime
    parked_at: datetime | None
    due_at: datetime | None
    settled_at: datetime | None
    copies: int
    deaths: int
    attempts: int
    failures: int
    reason_class: str | None
    reason: str | None
    reason_group: str | None
    external_id: str | None
    reference: str | None
    job: str | None
    traceparent: str | None
    headers: str
    body_bytes: int
    body_sha256: bytes
    is_edited: bool
    is_unanswered: bool
    body: bytes | None
    waits_for_id: int | None
    waits_for_state: str | None
    blocks: int
    awaits: str | None = None
    calls: Sequence[Attempt] = ()
    resolutions: Sequence[Resolution] = ()
