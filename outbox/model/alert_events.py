"""What becomes of notices; part of the union in `outbox.model.lifecycle`. Never their text, never an address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NoticeSent:
    """People were written to: about so many alerts that stand, and so many that are over.

    ``refused``: recipients that the mail server did not take, while it took others.
    """

    channel: str
    standing: int
    over: int
    refused: int
    is_repeated: bool
    """Another process took the route meanwhile, and tells the same once more."""


@dataclass(frozen=True, slots=True)
class NoticeFailed:
    """A channel took no notice; it is tried again after the pause."""

    channel: str
    reason: str
    failures: int
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class AlertsSeen:
    """So many alerts stand, whoever has judged them; each process that looks tells the same."""

    standing: int


AlertEvents = NoticeSent | NoticeFailed | AlertsSeen
