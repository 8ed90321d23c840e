"""A target system as a value: its clock is moved by hand, and its effects are a list.

One API for each recovery strategy. It must never be kinder than a real one: what is sent twice outside of what the
strategy promises takes effect twice, and what was held takes effect after its client has given up.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from outbox.model.adapter import Request
from outbox.model.outcome import (
    Absent,
    Accepted,
    AlreadyApplied,
    Ambiguous,
    Applied,
    Configuration,
    CredentialsExpired,
    Found,
    NotTold,
    Outcome,
    Present,
    Receipt,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
    Unknown,
)

WINDOW_SECONDS = 1000.0
# The longest time for which the target goes on with a request whose client has given up.
HELD_SECONDS = 55.0
KEY_HEADER = "Idempotency-Key"


class Style(StrEnum):
    """What the target can do for a client that does not know how a call ended."""

    KEY = "key"
    KEY_CACHES_ERRORS = "key_caches_errors"
    KEY_THEN_LOOK_UP = "key_then_look_up"
    UPSERT = "upsert"
    UPSERT_BY_KEY = "upsert_by_key"
    NAMED_CREATE = "named_create"
    NAMED_THEN_LOOK_UP = "named_then_look_up"
    LOOK_UP = "look_up"
    JOB = "job"
    NONE = "none"


NAMED = frozenset({Style.NAMED_CREATE, Style.NAMED_THEN_LOOK_UP})
HAS_KEYS = frozenset({Style.KEY, Style.KEY_CACHES_ERRORS, Style.KEY_THEN_LOOK_UP, Style.JOB})


class Trouble(StrEnum):
    """What happens to one call."""

    NO_TROUBLE = "no_trouble"
    NOT_SENT = "not_sent"
    LOST_BEFORE = "lost_before"
    LOST_AFTER = "lost_after"
    HELD = "held"
    THROTTLED = "throttled"
    FAILED = "failed"
    DOWN = "down"
    CREDENTIALS = "credentials"
    CONFIGURATION = "configuration"


class Nature(StrEnum):
    """What there is about an event."""

    FINE = "fine"
    REJECTED = "rejected"
    UNMAPPABLE = "unmappable"
    LATER_UNMAPPABLE = "later_unmappable"
    REFERRING = "referring"


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that has happened in the target."""

    message_id: str
    key: str | None
    sequence: int


@dataclass(slots=True)
class _Held:
    request: Request
    since: float


@dataclass(slots=True)
class _Job:
    request: Request
    is_over: bool = False
    has_failed: bool = False
    looks: int = 0


@dataclass(slots=True)
class _Kept:
    """The first answer to a key, and when its request came."""

    since: float
    body: bytes
    outcome: Outcome


@dataclass
class ModelTarget:
    """The target; ``now`` is its clock."""

    style: Style
    now: float = 0.0
    effects: list[Effect] = field(default_factory=list)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)
    _held: list[_Held] = field(default_factory=list)
    _jobs: dict[str, _Job] = field(default_factory=dict)

    def advance(self, seconds: float) -> None:
        """Let time pass; what was held for long enough takes effect."""
        self.now += seconds
        over = [held for held in self._held if self.now - held.since >= HELD_SECONDS]
        self._held = [held for held in self._held if held not in over]
        for held in over:
            self._end(held.request, held.since)

    def go_on(self) -> None:
        """Let everything that is held take effect, and the jobs run that nobody has asked for."""
        held, self._held = self._held, []
        for one in held:
            self._end(one.request, one.since)
        for job in self._jobs.values():
            self._run(job)

    def is_busy_with(self, message_id: str) -> bool:
        """Say whether something of this message may still take effect by itself."""
        waiting = [held.request for held in self._held]
        waiting += [job.request for job in self._jobs.values() if not (job.is_over or job.has_failed)]
        return any(_content(request)["message_id"] == message_id for request in waiting)

    def send(self, request: Request, trouble: Trouble) -> Receipt:
        """Take a request, with what happens to it on its way, in the target, and on the way back."""
        match trouble:
            case Trouble.NOT_SENT:
                return Receipt(TargetDown("connection refused"))
            case Trouble.LOST_BEFORE:
                return Receipt(Unknown("connection lost"))
            case Trouble.THROTTLED:
                return Receipt(Throttled("too many requests"), 429)
            case Trouble.DOWN:
                return Receipt(TargetDown("out of service"), 503)
            case Trouble.CREDENTIALS:
                return Receipt(CredentialsExpired("token expired"), 401)
            case Trouble.CONFIGURATION:
                return Receipt(Configuration("not allowed"), 403)
        early = self._early_answer(request)
        if early is None and trouble is Trouble.HELD:
            self._running.add(_key(request))
            self._held.append(_Held(request, self.now))
            return Receipt(Unknown("no answer"))
        if early is None:
            is_failing = trouble is Trouble.FAILED
            early = self._kept_as(request, Retry("failed"), self.now) if is_failing else self._end(request, self.now)
        return Receipt(Unknown("the answer was lost") if trouble is Trouble.LOST_AFTER else early, 200)

    def look_up(self, reference: str, trouble: Trouble) -> Found:
        """Answer whether there is a record of this name."""
        if trouble is Trouble.FAILED:
            return Found(NotTold(Retry("failed")))
        if trouble is not Trouble.NO_TROUBLE:
            return Found(NotTold(TargetDown("out of service")))
        found = [effect for effect in self.effects if effect.message_id == reference]
        if len(found) > 1:
            return Found(Ambiguous(f"there are {len(found)}"))
        return Found(Present(reference) if found else Absent())

    def poll(self, job_id: str, trouble: Trouble) -> Receipt:
        """Answer how a job stands; it runs when it is asked about for the second time."""
        if trouble not in {Trouble.NO_TROUBLE, Trouble.FAILED}:
            return Receipt(Unknown("no answer") if trouble is Trouble.LOST_AFTER else TargetDown("out of service"))
        job = self._jobs[job_id]
        job.looks += 1
        if job.looks == 1:
            return Receipt(Accepted(job_id), 202)
        if trouble is Trouble.FAILED and not job.is_over:
            job.has_failed = True
        self._run(job)
        if _content(job.request)["nature"] == Nature.REJECTED:
            return Receipt(Rejected("not accepted"), 200)
        return Receipt(Retry("the job has failed") if job.has_failed else Applied(job_id), 200)

    def _early_answer(self, request: Request) -> Outcome | None:
        """Return what the target answers before it looks at the request itself."""
        key = _key(request)
        if self.style not in HAS_KEYS:
            return None
        if key in self._running:
            return Retry("a request with this key is in progress")
        kept = self._kept.get(key)
        if kept is None or self.now - kept.since >= WINDOW_SECONDS:
            return None
        assert kept.body == request.body, "another request was sent under a key that is in use"
        return kept.outcome

    def _kept_as(self, request: Request, outcome: Outcome, since: float) -> Outcome:
        is_kept = self.style is Style.KEY_CACHES_ERRORS or not isinstance(outcome, Retry)
        if self.style in HAS_KEYS and is_kept:
            self._kept[_key(request)] = _Kept(since, request.body, outcome)
        return outcome

    def _end(self, request: Request, since: float) -> Outcome:
        self._running.discard(_key(request))
        return self._kept_as(request, self._take(request), since)

    def _take(self, request: Request) -> Outcome:
        content = _content(request)
        if self.style is Style.JOB:
            job_id = f"/jobs/{len(self._jobs)}"
            self._jobs[job_id] = _Job(request)
            return Accepted(job_id)
        if content["nature"] == Nature.REJECTED:
            return Rejected("not accepted")
        effect = _effect(request)
        if self.style in {Style.UPSERT, *NAMED} and effect in self.effects:
            return AlreadyApplied(effect.message_id) if self.style in NAMED else Applied(effect.message_id)
        if self.style is Style.UPSERT_BY_KEY and effect in self._records():
            return Applied(effect.message_id)
        self.effects.append(effect)
        return Applied(effect.message_id)

    def _records(self) -> Collection[Effect]:
        """Return what the records were last made to be; those of a key are one record."""
        return {effect.key or effect.message_id: effect for effect in self.effects}.values()

    def _run(self, job: _Job) -> None:
        if not (job.is_over or job.has_failed):
            job.is_over = True
            if _content(job.request)["nature"] != Nature.REJECTED:
                self.effects.append(_effect(job.request))


def _key(request: Request) -> str:
    return request.headers[KEY_HEADER]


def _content(request: Request) -> dict[str, str]:
    content: dict[str, str] = json.loads(request.body)
    return content


def _effect(request: Request) -> Effect:
    content = _content(request)
    return Effect(content["message_id"], content["key"], int(content["sequence"]))
