"""What every signature scheme has, and the one comparison that all of them use. Pure.

A scheme decides on the raw bytes, before anything of them is parsed. All secrets are tried with all signatures that
came, whether or not one has matched: the time that it takes tells nothing but how many of each there are.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Protocol

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Received

# Each costs an HMAC comparison for each secret; nobody rotates through more.
MAX_SIGNATURES = 16


class Scheme(Protocol):
    """How one kind of sender proves that a request is its own."""

    def verify(self, received: Received) -> float | None:
        """Return the time that was signed, in seconds since 1970, or None where the scheme signs none.

        Raises:
            RefusedRequest: it is not proven.
        """
        ...


def require_match(header: str, expected: Iterable[bytes], given: Sequence[str]) -> None:
    """Compare every expected signature with every given one, all of them in constant time.

    Raises:
        RefusedRequest: none matches, or so many came that somebody plays.
    """
    if len(given) > MAX_SIGNATURES:
        raise RefusedRequest(Problem.SIGNATURE_MALFORMED, f"{header} has more than {MAX_SIGNATURES} signatures")
    # As bytes: text that is not ASCII cannot be compared in constant time.
    candidates = [signature.encode("utf-8", "surrogateescape") for signature in given]
    is_match = False
    for signature in expected:
        for candidate in candidates:
            is_match |= hmac.compare_digest(signature, candidate)
    if not is_match:
        raise RefusedRequest(Problem.SIGNATURE_INVALID, f"no signature in {header} matches")


def required(received: Received, header: str) -> str:
    """Return the header that has the signature.

    Raises:
        RefusedRequest: it is missing, empty, or stands twice.
    """
    text = received.headers.get(header)
    if not text:
        raise RefusedRequest(Problem.SIGNATURE_MISSING, f"{header} is missing")
    return text
