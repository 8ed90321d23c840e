"""Everything that a request can be refused for: a name for programs, a status, and a title for people.

The names are a contract with senders and with whoever searches ``intake.refused``: none is ever renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# Where each problem is explained, below the intake's own address.
PROBLEMS_PATH = "/problems/"


class Problem(StrEnum):
    """Why a request was refused, or could not be answered."""

    NOT_FOUND = "not-found"
    UNKNOWN_SOURCE = "unknown-source"
    UNKNOWN_COMMAND = "unknown-command"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    REQUEST_MALFORMED = "request-malformed"
    BODY_INCOMPLETE = "body-incomplete"
    BODY_TOO_SLOW = "body-too-slow"
    BODY_TOO_LARGE = "body-too-large"
    CONTENT_TYPE_UNSUPPORTED = "content-type-unsupported"
    CHARSET_UNSUPPORTED = "charset-unsupported"
    CONTENT_ENCODING_UNSUPPORTED = "content-encoding-unsupported"
    CONTENT_ENCODING_BROKEN = "content-encoding-broken"
    HEADER_REPEATED = "header-repeated"
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_MALFORMED = "signature-malformed"
    SIGNATURE_INVALID = "signature-invalid"
    TIMESTAMP_MISSING = "timestamp-missing"
    TIMESTAMP_MALFORMED = "timestamp-malformed"
    TIMESTAMP_STALE = "timestamp-stale"
    TIMESTAMP_EARLY = "timestamp-early"
    TOKEN_INVALID = "token-invalid"  # noqa: S105 - the name of a problem, not a token
    COMMAND_NOT_ALLOWED = "command-not-allowed"
    IDEMPOTENCY_KEY_MISSING = "idempotency-key-missing"
    IDEMPOTENCY_KEY_MALFORMED = "idempotency-key-malformed"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    IDEMPOTENCY_KEY_IN_PROGRESS = "idempotency-key-in-progress"
    RATE_LIMITED = "rate-limited"
    JSON_MALFORMED = "json-malformed"
    JSON_AMBIGUOUS = "json-ambiguous"
    JSON_TOO_DEEP = "json-too-deep"
    JSON_NUMBER_OUT_OF_RANGE = "json-number-out-of-range"
    JSON_TEXT_UNUSABLE = "json-text-unusable"
    JSON_NOT_A_LIST = "json-not-a-list"
    TYPE_UNUSABLE = "type-unusable"
    TYPE_UNKNOWN = "type-unknown"
    KEY_UNUSABLE = "key-unusable"
    ID_UNUSABLE = "id-unusable"
    CONTRACT_VIOLATED = "contract-violated"
    EVENT_REFUSED = "event-refused"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a problem is answered. ``next_step`` is for whoever reads the answer: the sender's developers."""

    status: int
    title: str
    next_step: str


KINDS: Mapping[Problem, Kind] = {
    Problem.NOT_FOUND: Kind(404, "There is nothing here", "see /openapi.json for what there is"),
    Problem.UNKNOWN_SOURCE: Kind(404, "No such source", "correct the address, or add the source to the settings"),
    Problem.UNKNOWN_COMMAND: Kind(404, "No such command", "see /openapi.json for the commands that there are"),
    Problem.METHOD_NOT_ALLOWED: Kind(405, "Method not allowed", "use the method that the header Allow names"),
    Problem.REQUEST_MALFORMED: Kind(400, "The request is not valid HTTP", "mend the client"),
    Problem.BODY_INCOMPLETE: Kind(400, "The body ended before its end", "send it again, whole"),
    Problem.BODY_TOO_SLOW: Kind(408, "The body did not come in time", "send it again, faster"),
    Problem.BODY_TOO_LARGE: Kind(413, "The body is too large", "send less, or raise max_body in the settings"),
    Problem.CONTENT_TYPE_UNSUPPORTED: Kind(415, "Content type not supported", "send JSON as application/json"),
    Problem.CHARSET_UNSUPPORTED: Kind(415, "Charset not supported", "send UTF-8"),
    Problem.CONTENT_ENCODING_UNSUPPORTED: Kind(
        415, "Content encoding not supported", "send it plain, or as gzip or deflate, encoded once"
    ),
    Problem.CONTENT_ENCODING_BROKEN: Kind(400, "The body is not what Content-Encoding says", "encode it again"),
    Problem.HEADER_REPEATED: Kind(400, "A header stands twice", "send it once"),
    Problem.SIGNATURE_MISSING: Kind(401, "There is no signature", "sign the request as the source's scheme says"),
    Problem.SIGNATURE_MALFORMED: Kind(400, "The signature cannot be read", "sign as the source's scheme says"),
    Problem.SIGNATURE_INVALID: Kind(
        401,
        "The signature does not match",
        "compare the secrets; sign the very bytes of the body; let no proxy change them, or the address",
    ),
    Problem.TIMESTAMP_MISSING: Kind(400, "There is no timestamp", "send it as the source's scheme says"),
    Problem.TIMESTAMP_MALFORMED: Kind(400, "The timestamp cannot be read", "send it as the source's scheme says"),
    Problem.TIMESTAMP_STALE: Kind(401, "The timestamp is too old", "sign anew for each try; set the sender's clock"),
    Problem.TIMESTAMP_EARLY: Kind(401, "The timestamp lies in the future", "set the sender's clock"),
    Problem.TOKEN_INVALID: Kind(401, "A valid token is needed", "send it as Authorization: Bearer"),
    Problem.COMMAND_NOT_ALLOWED: Kind(403, "This client may not send this command", "allow it in the settings"),
    Problem.IDEMPOTENCY_KEY_MISSING: Kind(
        400, "Idempotency-Key is missing", "send a new key for each command, and the same for each try of it"
    ),
    Problem.IDEMPOTENCY_KEY_MALFORMED: Kind(
        400, "Idempotency-Key cannot be read", "send 1 to 255 visible ASCII characters, quoted or plain"
    ),
    Problem.IDEMPOTENCY_KEY_REUSED: Kind(
        422, "Idempotency-Key stands for another command", "send a new key for each command"
    ),
    Problem.IDEMPOTENCY_KEY_IN_PROGRESS: Kind(
        409, "The first command with this Idempotency-Key is under way", "repeat it unchanged in a second"
    ),
    Problem.RATE_LIMITED: Kind(429, "Too many requests", "wait as long as Retry-After says"),
    Problem.JSON_MALFORMED: Kind(400, "The body is not JSON in UTF-8", "send JSON (RFC 8259) in UTF-8, without a mark"),
    Problem.JSON_AMBIGUOUS: Kind(422, "An object has a key twice", "send each key once"),
    Problem.JSON_TOO_DEEP: Kind(422, "The JSON is nested too deep", "send flatter JSON"),
    Problem.JSON_NUMBER_OUT_OF_RANGE: Kind(
        422, "A number is beyond what others can read", "send numbers in the range of a double, others as text"
    ),
    Problem.JSON_TEXT_UNUSABLE: Kind(
        422, "A text holds what cannot be stored", "send texts without NUL and without halves of surrogate pairs"
    ),
    Problem.JSON_NOT_A_LIST: Kind(422, "The body is not a list of events", "send a JSON list"),
    Problem.TYPE_UNUSABLE: Kind(422, "The event's type cannot be told", "see type in the source's settings"),
    Problem.TYPE_UNKNOWN: Kind(422, "No event type is set for this", "add it to the source's type.types"),
    Problem.KEY_UNUSABLE: Kind(422, "The event's key cannot be told", "see key in the source's settings"),
    Problem.ID_UNUSABLE: Kind(422, "The event's id cannot be told", "see id in the source's settings"),
    Problem.CONTRACT_VIOLATED: Kind(422, "The event does not keep its contract", "send what the contract says"),
    Problem.EVENT_REFUSED: Kind(422, "The outbox cannot take this event", "see the detail"),
    Problem.BUSY: Kind(503, "Too much is under way", "send it again after Retry-After"),
    Problem.UNAVAILABLE: Kind(503, "The database cannot take it now", "send it again after Retry-After"),
    Problem.BUG: Kind(500, "This is a bug of the intake", "send it again; the log has the reason"),
}


@dataclass(eq=False)
class RefusedRequest(Exception):
    """A request is not taken.

    Args:
        problem: why.
        detail: what was seen, without anything of the payload or of a secret.
        headers: of the answer.
    """

    problem: Problem
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """Return the problem document (RFC 9457)."""
        kind = KINDS[self.problem]
        return {
            "type": PROBLEMS_PATH + self.problem,
            "title": kind.title,
            "status": kind.status,
            "detail": f"{self.detail}; {kind.next_step}" if self.detail else kind.next_step,
        }
