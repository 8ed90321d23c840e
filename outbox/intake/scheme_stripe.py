"""Stripe: one header with the time and hex signatures over ``{t}.{body}``; the key is the whole secret as text.

https://github.com/stripe/stripe-python (_webhook.py). Not Standard Webhooks: there the text behind whsec_ is base64.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Received
from outbox.intake.scheme import require_match, required
from outbox.intake.timestamps import TimeUnit, signed_seconds

SIGNATURE = "Stripe-Signature"


@dataclass(frozen=True, slots=True)
class Stripe:
    """``keys``: the secrets, ``whsec_`` and all, as bytes."""

    keys: Sequence[bytes]

    def verify(self, received: Received) -> float | None:
        """See `Scheme.verify`. Signatures of other schemes (``v0`` is of tests) are passed over.

        Raises:
            RefusedRequest: it is not proven.
        """
        parts = [part.partition("=") for part in required(received, SIGNATURE).split(",")]
        times = [value for name, _, value in parts if name.strip() == "t"]
        given = [value.strip() for name, _, value in parts if name.strip() == "v1"]
        if len(times) > 1:
            raise RefusedRequest(Problem.TIMESTAMP_MALFORMED, f"{SIGNATURE} has several times")
        text = times[0] if times else None
        seconds = signed_seconds(f"t in {SIGNATURE}", text, TimeUnit.SECONDS)
        if not given:
            raise RefusedRequest(Problem.SIGNATURE_MALFORMED, f"{SIGNATURE} has no signature of version v1")
        signed = b".".join(((text or "").encode(), received.body))
        expected = [hmac.digest(key, signed, hashlib.sha256).hex().encode() for key in self.keys]
        require_match(SIGNATURE, expected, given)
        return seconds
