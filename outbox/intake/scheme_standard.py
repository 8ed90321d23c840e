"""Standard Webhooks 1.0.0: HMAC-SHA256 over id, time and body; any of the listed signatures may match.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Received
from outbox.intake.scheme import require_match, required
from outbox.intake.timestamps import TimeUnit, signed_seconds
from outbox.model.standard_webhooks import ID, SIGNATURE, TIMESTAMP, digest

_VERSION = "v1,"


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """``keys``: what `outbox.model.standard_webhooks.key_of` makes of the secrets."""

    keys: Sequence[bytes]

    def verify(self, received: Received) -> float | None:
        """See `Scheme.verify`. Ed25519 signatures (``v1a``) are passed over: they prove nothing to whoever has no key.

        Raises:
            RefusedRequest: it is not proven.
        """
        signatures = required(received, SIGNATURE)
        message_id = received.headers.get(ID)
        if not message_id:
            raise RefusedRequest(Problem.SIGNATURE_MALFORMED, f"{ID} is missing")
        if not message_id.isascii():
            raise RefusedRequest(Problem.SIGNATURE_MALFORMED, f"{ID} is not ASCII")
        text = received.headers.get(TIMESTAMP)
        seconds = signed_seconds(TIMESTAMP, text, TimeUnit.SECONDS)
        given = [one.removeprefix(_VERSION) for one in signatures.split(" ") if one.startswith(_VERSION)]
        if not given:
            raise RefusedRequest(Problem.SIGNATURE_MALFORMED, f"{SIGNATURE} has no signature of version v1")
        expected = [base64.b64encode(digest(key, message_id, text or "", received.body)) for key in self.keys]
        require_match(SIGNATURE, expected, given)
        return seconds
