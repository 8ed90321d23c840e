"""HubSpot, version 3: base64 of HMAC-SHA256 over method, public URL, body and time in milliseconds.

https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation. Versions 1 and
2 are refused: they are plain hashes, sign no time, and version 1 not even the address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from outbox.intake.received import Received
from outbox.intake.scheme import require_match, required
from outbox.intake.timestamps import TimeUnit, signed_seconds

SIGNATURE = "X-HubSpot-Signature-v3"
TIMESTAMP = "X-HubSpot-Request-Timestamp"

# What HubSpot decodes before it signs, and nothing else.
_DECODED = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$",
    "%27": "'", "%28": "(", "%29": ")", "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip
_ENCODED = re.compile("|".join(_DECODED), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HubSpot:
    """``keys``: the app's client secrets as bytes."""

    keys: Sequence[bytes]

    def verify(self, received: Received) -> float | None:
        """See `Scheme.verify`.

        Raises:
            RefusedRequest: it is not proven.
        """
        signature = required(received, SIGNATURE)
        text = received.headers.get(TIMESTAMP)
        seconds = signed_seconds(TIMESTAMP, text, TimeUnit.MILLISECONDS)
        url = _ENCODED.sub(lambda match: _DECODED[match[0].upper()], received.url)
        signed = b"".join(
            (received.method.encode(), url.encode("utf-8", "surrogateescape"), received.body, (text or "").encode())
        )
        expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self.keys]
        require_match(SIGNATURE, expected, [signature])
        return seconds
