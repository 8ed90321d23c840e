"""What a call came back with: an answer, or none. Plain values, so that classifying them needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import assert_never

from adapters.json_text import MISSING, decode, one_line
from outbox.model.outcome import Configuration, Outcome, TargetDown, Throttled, Unknown

# These lead a browser on from what it has sent, a login or a form, which may have been taken. 307 and 308 say that
# nothing was, and that it is to be sent elsewhere.
SEE_ELSEWHERE = (301, 302, 303)
THEN_CLOSE = 'once this is mended, "outbox circuit close" of this flow'

_SUCCESS = 2
_MAX_REASON_CHARACTERS = 300


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer. Header names are in lower case, of repeated headers the first counts.

    ``body`` is None when it was longer than the limit, or packed in a way that nobody asked for, and was therefore not
    read. ``is_login_stale``: a 401 for a login that had worked before, so that a fresh one may help.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = b""
    is_login_stale: bool = False

    @property
    def is_success(self) -> bool:
        """Say whether the status is a success; the body may still say otherwise."""
        return self.status // 100 == _SUCCESS

    @property
    def content_type(self) -> str:
        """The media type without parameters, empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def document(self) -> object:
        """The body as JSON, see `decode`; MISSING when there is none, or none that can be read. Read once."""
        try:
            return decode(self.body) if self.body else MISSING
        except ValueError:
            return MISSING

    @property
    def is_garbage(self) -> bool:
        """Say whether there is a body that is not JSON."""
        return bool(self.body) and self.document is MISSING


class Fault(StrEnum):
    """Who has to act when no answer came."""

    NETWORK = "network"
    CONFIGURATION = "configuration"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No complete answer came.

    ``was_sent`` is a fact, not a guess: False proves that no byte of the request left. ``status`` is known
    when the answer broke off after its first line. ``after_seconds``: when to try again, if somebody said so.
    """

    was_sent: bool
    reason: str
    fault: Fault = Fault.NETWORK
    status: int | None = None
    after_seconds: float | None = None


def classify_no_answer(failure: NoAnswer, label: str, secrets: Iterable[str]) -> Outcome:
    """Decide what the lack of an answer means: unknown, unless the request certainly did not leave.

    Args:
        failure: what happened.
        label: names the call.
        secrets: what must not be in the reason.
    """
    reason = f"{label}: {one_line(failure.reason, secrets, max_characters=_MAX_REASON_CHARACTERS)}"
    if failure.was_sent:
        if failure.status is not None:
            reason += f" (the answer had begun with {failure.status})"
        return Unknown(reason)
    match failure.fault:
        case Fault.NETWORK:
            return TargetDown(reason, failure.after_seconds)
        case Fault.CONFIGURATION:
            return Configuration(reason)
        case Fault.BUSY:
            return Throttled(reason, failure.after_seconds, kind="concurrency", is_ours=True)
        case _:
            assert_never(failure.fault)
