"""Commands of own clients: who sends, under which idempotency key, and what becomes of it. Pure.

Idempotency-Key follows draft-ietf-httpapi-idempotency-key-header-06: a structured-field string, and, because most
clients write it so, also plain.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from outbox.intake.decode import check_content_type, decoded
from outbox.intake.document import read_document
from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Headers, Received
from outbox.intake.rules import ContractCheck, event_headers
from outbox.intake.values import Origin, key_of
from outbox.model.intake import CLIENT_PREFIX, Draft

IDEMPOTENCY_KEY = "Idempotency-Key"

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="outbox"'}
_MAX_CHARACTERS = 255
# RFC 9651, 3.3.3: printable ASCII, and only quotes and backslashes are escaped.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PLAIN = re.compile(r"[!#-~]+")


@dataclass(frozen=True, slots=True)
class CommandRules:
    """One type of command. ``key``: where the event's key stands."""

    type: str
    version: int
    key: Origin | None


@dataclass(frozen=True, slots=True)
class Client:
    """Who may send which commands. ``token_digests``: SHA-256 of each token, so that all are of one length."""

    name: str
    token_digests: Sequence[bytes]
    types: Collection[str]


@dataclass(frozen=True, slots=True)
class CommandsRules:
    """All commands, and who may send them."""

    commands: Mapping[str, CommandRules]
    clients: Sequence[Client]
    max_body_bytes: int
    content_types: Collection[str]
    remember_seconds: float


def client_of(rules: CommandsRules, headers: Headers) -> Client:
    """Return whose token it is; every token of every client is compared, whether or not one has matched.

    Raises:
        RefusedRequest: nobody's.
    """
    scheme, _, token = (headers.get("Authorization") or "").partition(" ")
    given = token_digest(token.strip())
    found: Client | None = None
    for client in rules.clients:
        for digest in client.token_digests:
            if hmac.compare_digest(digest, given):
                found = client
    if found is None or scheme.lower() != "bearer":
        raise RefusedRequest(Problem.TOKEN_INVALID, headers=_CHALLENGE)
    return found


def token_digest(token: str) -> bytes:
    """Return what a token is compared by."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def idempotency_key(headers: Headers) -> str:
    """Return the key, whether it came quoted or plain.

    Raises:
        RefusedRequest: there is none, or it is none.
    """
    text = headers.get(IDEMPOTENCY_KEY)
    if not text:
        raise RefusedRequest(Problem.IDEMPOTENCY_KEY_MISSING)
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text if _PLAIN.fullmatch(text) else ""
    if not 0 < len(key) <= _MAX_CHARACTERS:
        raise RefusedRequest(Problem.IDEMPOTENCY_KEY_MALFORMED)
    return key


def prepare_command(
    rules: CommandsRules, client: Client, command_type: str, received: Received, check: ContractCheck
) -> Draft:
    """Make a draft of a command.

    Raises:
        RefusedRequest: it cannot be taken.
    """
    command = rules.commands.get(command_type)
    if command is None:
        raise RefusedRequest(Problem.UNKNOWN_COMMAND)
    if command_type not in client.types:
        raise RefusedRequest(Problem.COMMAND_NOT_ALLOWED, f"client {client.name}, command {command_type}")
    name = idempotency_key(received.headers)
    check_content_type(received.headers, rules.content_types)
    document = read_document(decoded(received.body, received.headers, rules.max_body_bytes))
    payload = document.text.encode()
    key = key_of(command.key, received.headers, document.value)
    violation = check(command.type, command.version, payload)
    if violation is not None:
        raise RefusedRequest(Problem.CONTRACT_VIOLATED, f"{command.type}@{command.version}: {violation}")
    source = CLIENT_PREFIX + client.name
    return Draft(
        source,
        name,
        # Another type under the same key is another command, too.
        hashlib.sha256(command.type.encode() + b"\0" + payload).digest(),
        command.type,
        command.version,
        key,
        document.text,
        event_headers(source, name, received.headers),
        signed_at_seconds=None,
        window_seconds=0.0,
        remember_seconds=rules.remember_seconds,
        is_command=True,
    )
