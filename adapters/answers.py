"""What a call came back with: an answer, or none. Plain values, so that classifying them needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. Header names are in lower case, of repeated headers the first counts.

    ``body`` is None when it was longer than the limit and was therefore not read.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = b""

    @property
    def content_type(self) -> str:
        """The media type without parameters, empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Fault(StrEnum):
    """Who has to act when no answer came."""

    NETWORK = "network"
    CONFIGURATION = "configuration"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No complete answer came.

    ``was_sent`` is a fact, not a guess: False proves that no byte of the request left. ``status`` is known
    when the answer broke off after its first line.
    """

    was_sent: bool
    reason: str
    fault: Fault = Fault.NETWORK
    status: int | None = None
