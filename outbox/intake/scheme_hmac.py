"""Any HMAC in a header: which header, which hash, how it is written, and what is signed besides the body.

Shopify is one of these: https://shopify.dev/docs/apps/build/webhooks/verify-deliveries.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Received
from outbox.intake.scheme import require_match, required
from outbox.intake.timestamps import TimeUnit, signed_seconds

SHOPIFY_SIGNATURE = "X-Shopify-Hmac-Sha256"

_PLACES = re.compile(r"\{(body|timestamp|method|url)\}")


class Encoding(StrEnum):
    """How a signature is written."""

    HEX = "hex"
    BASE64 = "base64"
    BASE64URL = "base64url"


@dataclass(frozen=True, slots=True)
class Hmac:
    """A scheme as the settings describe it.

    ``signed``: what is signed, with ``{body}``, ``{timestamp}``, ``{method}`` and ``{url}``. ``prefix``: what stands
    before the signature in its header. Without ``timestamp_header`` the scheme signs no time.
    """

    keys: Sequence[bytes]
    header: str
    algorithm: str = "sha256"
    encoding: Encoding = Encoding.HEX
    prefix: str = ""
    signed: str = "{body}"
    timestamp_header: str | None = None
    timestamp_unit: TimeUnit = TimeUnit.SECONDS

    def verify(self, received: Received) -> float | None:
        """See `Scheme.verify`.

        Raises:
            RefusedRequest: it is not proven.
        """
        given = required(received, self.header)
        if not given.startswith(self.prefix):
            raise RefusedRequest(Problem.SIGNATURE_MALFORMED, f"{self.header} does not begin with {self.prefix!r}")
        given = given.removeprefix(self.prefix)
        if self.encoding is Encoding.HEX:
            given = given.lower()
        seconds, text = None, ""
        if self.timestamp_header is not None:
            text = received.headers.get(self.timestamp_header) or ""
            seconds = signed_seconds(self.timestamp_header, text, self.timestamp_unit)
        signed = self._signed(received, text)
        expected = [self._written(hmac.digest(key, signed, self.algorithm)) for key in self.keys]
        require_match(self.header, expected, [given])
        return seconds

    def _signed(self, received: Received, timestamp: str) -> bytes:
        if self.signed == "{body}":
            return received.body
        parts = {
            "body": received.body,
            "timestamp": timestamp.encode(),
            "method": received.method.encode(),
            "url": received.url.encode("utf-8", "surrogateescape"),
        }
        # Every second piece is the name of a place.
        pieces = _PLACES.split(self.signed)
        return b"".join(parts[piece] if number % 2 else piece.encode() for number, piece in enumerate(pieces))

    def _written(self, digest: bytes) -> bytes:
        match self.encoding:
            case Encoding.HEX:
                return digest.hex().encode()
            case Encoding.BASE64:
                return base64.b64encode(digest)
            case Encoding.BASE64URL:
                return base64.urlsafe_b64encode(digest)
