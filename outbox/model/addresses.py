"""To whom a notice goes: the routes of an alert, out of channels, addresses and owners. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# ASCII alone: others need a mail server with SMTPUTF8, and a header takes no line break.
ADDRESS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?"
OWNER_BUSINESS, OWNER_TECHNICAL = OWNER_WORDS = ("owner.business", "owner.technical")


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One channel, and for mail its recipients: who gets one message about all that is new."""

    channel: str
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Addressees:
    """Who is told of an alert, and what is told of whom to ask, what to do and where to look."""

    routes: tuple[Route, ...] = ()
    owner: str | None = None
    runbook: str | None = None
    link: str | None = None


def is_address(text: str) -> bool:
    """Say whether mail can be sent to this."""
    return re.fullmatch(ADDRESS, text) is not None


def resolved(recipients: Iterable[str], owners: dict[str, str]) -> tuple[str, ...]:
    """Return the addresses, with owners for the words that stand for them; those that are no address are left out."""
    found = (owners.get(one, "") if one in OWNER_WORDS else one for one in recipients)
    return tuple(sorted({one for one in found if is_address(one)}))
