"""What becomes of a request: it is read, judged, taken, and answered."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from outbox.intake.bucket import Bucket
from outbox.intake.commands import CommandsRules, client_of, prepare_command
from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Headers, Received
from outbox.intake.rules import ContractCheck, Prepared, SourceRules, prepare
from outbox.model.intake import CLIENT_PREFIX, NO_SOURCE, Draft, Taken, TakenState
from outbox.model.intake_events import ContentChanged
from outbox.model.lifecycle import Report

_RETRY_SOON = {"Retry-After": "1"}


class _Takes(Protocol):
    async def take(self, drafts: Sequence[Draft]) -> list[Taken]: ...


@dataclass(slots=True)
class Visit:
    """One request on its way. ``source`` is known as soon as anybody knows it, for whoever counts."""

    method: str
    url: str
    headers: Headers
    read_body: Callable[[int], Awaitable[bytes]]
    source: str = NO_SOURCE


class Answer(NamedTuple):
    """What is answered with 202: an event for each that came, and how many of them were known."""

    event_ids: Sequence[str]
    known: int
    is_list: bool = False

    def document(self) -> dict[str, object]:
        """Return the JSON; nothing in it tells a repeat from the first time."""
        return {"event_ids": self.event_ids} if self.is_list else {"event_id": self.event_ids[0]}


@dataclass(frozen=True, slots=True)
class Desk:
    """All sources and commands.

    ``check`` is the contracts' word; ``buckets`` have a name for each source and client that is limited.
    """

    sources: Mapping[str, SourceRules]
    commands: CommandsRules
    takes: _Takes
    check: ContractCheck
    report: Report
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    _commands_under_way: set[tuple[str, str]] = field(default_factory=set)

    async def webhook(self, name: str, visit: Visit) -> Answer:
        """Take a webhook.

        Raises:
            RefusedRequest: it is not taken, or not all of it.
        """
        rules = self.sources.get(name)
        if rules is None:
            raise RefusedRequest(Problem.UNKNOWN_SOURCE)
        visit.source = name
        body = await visit.read_body(rules.max_body_bytes)
        received = Received(body, visit.headers, visit.method, visit.url)
        prepared = prepare(rules, received, self.check)
        self._limit(name)
        taken = await self.takes.take(prepared.drafts) if prepared.drafts else []
        return self._webhook_answer(rules, prepared, taken)

    async def command(self, command_type: str, visit: Visit) -> Answer:
        """Take a command.

        Raises:
            RefusedRequest: it is not taken.
        """
        client = client_of(self.commands, visit.headers)
        source = visit.source = CLIENT_PREFIX + client.name
        self._limit(source)
        body = await visit.read_body(self.commands.max_body_bytes)
        received = Received(body, visit.headers, visit.method, visit.url)
        draft = prepare_command(self.commands, client, command_type, received, self.check)
        scope = (draft.source, draft.name)
        if scope in self._commands_under_way:
            raise RefusedRequest(Problem.IDEMPOTENCY_KEY_IN_PROGRESS, headers=_RETRY_SOON)
        self._commands_under_way.add(scope)
        try:
            (taken,) = await self.takes.take([draft])
        finally:
            self._commands_under_way.discard(scope)
        if taken.state is TakenState.IN_PROGRESS:
            raise RefusedRequest(Problem.IDEMPOTENCY_KEY_IN_PROGRESS, headers=_RETRY_SOON)
        if taken.state is TakenState.CHANGED:
            raise RefusedRequest(Problem.IDEMPOTENCY_KEY_REUSED)
        return Answer([taken.event_id or ""], int(taken.state is TakenState.KNOWN))

    def _webhook_answer(self, rules: SourceRules, prepared: Prepared, taken: Sequence[Taken]) -> Answer:
        states = {one.state for one in taken}
        for state, problem in (
            (TakenState.STALE, Problem.TIMESTAMP_STALE),
            (TakenState.EARLY, Problem.TIMESTAMP_EARLY),
        ):
            if state in states:
                raise RefusedRequest(problem, f"at most {rules.window_seconds:g} s from the database's clock")
        for one in taken:
            if one.state is TakenState.CHANGED:
                self.report(ContentChanged(rules.name, one.event_id or ""))
        if prepared.refusal is not None:
            refusal = prepared.refusal
            raise RefusedRequest(refusal.problem, f"{refusal.detail} ({len(taken)} others of the list are taken)")
        known = sum(one.state is not TakenState.NEW for one in taken)
        return Answer([one.event_id or "" for one in taken], known, rules.is_list)

    def _limit(self, name: str) -> None:
        bucket = self.buckets.get(name)
        wait_seconds = 0.0 if bucket is None else bucket.wait_seconds(time.monotonic())
        if wait_seconds > 0:
            raise RefusedRequest(Problem.RATE_LIMITED, headers={"Retry-After": str(math.ceil(wait_seconds))})
