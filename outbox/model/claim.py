"""The claim check: a payload that is too large for a message stays in its outbox row, and a reference travels.

Such a message has no body and a content type of its own, so that nobody takes it for an event without data; its other
properties and headers are those of every event.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from uuid import UUID

# "sequence/event id": what outbox.payload() and the HTTP endpoint ask for.
CLAIM_CHECK = "x-outbox-claim-check"
PAYLOAD_BYTES = "x-outbox-payload-bytes"
PAYLOAD_CONTENT_TYPE = "x-outbox-payload-content-type"
# The CloudEvents extension for this; a reference relative to wherever a sidecar serves HTTP.
DATA_REFERENCE = "cloudEvents_dataref"
CLAIM_HEADERS = (CLAIM_CHECK, PAYLOAD_BYTES, PAYLOAD_CONTENT_TYPE, DATA_REFERENCE)

CLAIM_CONTENT_TYPE = "application/vnd.outbox.claim-check"
EVENT_CONTENT_TYPE = "application/json"

_MAX_SEQUENCE = 2**63 - 1
_SEQUENCE = re.compile(r"[0-9]{1,19}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Claim(NamedTuple):
    """Which payload is meant: the row, and the event that must be in it."""

    sequence: int
    event_id: str

    def text(self) -> str:
        """Return the reference as it stands in the header."""
        return f"{self.sequence}/{self.event_id}"

    def path(self) -> str:
        """Return where a sidecar serves the payload."""
        return f"/events/{self.sequence}/{self.event_id}/payload"


def parse_claim(text: object) -> Claim | None:
    """Return what a header or a path refers to, or None when it is no reference."""
    if not isinstance(text, str):
        return None
    sequence, _, event_id = text.partition("/")
    if _SEQUENCE.fullmatch(sequence) is None or _UUID.fullmatch(event_id) is None or int(sequence) > _MAX_SEQUENCE:
        return None
    return Claim(int(sequence), str(UUID(event_id)))


def claim_headers(claim: Claim, payload_bytes: int) -> dict[str, str | int]:
    """Return the headers of a message that refers to its payload."""
    return {
        CLAIM_CHECK: claim.text(),
        PAYLOAD_BYTES: payload_bytes,
        PAYLOAD_CONTENT_TYPE: EVENT_CONTENT_TYPE,
        DATA_REFERENCE: claim.path(),
    }
