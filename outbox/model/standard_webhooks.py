"""Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 over id, time and the exact bytes of the body. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

_PREFIX = "whsec_"
_MIN_KEY_BYTES = 24
_MAX_KEY_BYTES = 64
_ID_SAFE = "!#$&'()*+,/:;=?@[]^`{|}<>"


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: it is none; the text quotes nothing of it.
    """
    try:
        # Without the mark some receivers take the text itself for the key, others what it decodes to.
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True) if secret.startswith(_PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise ValueError(
            f"must be {_PREFIX} and the base64 of {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} random bytes, "
            "for example what echo whsec_$(openssl rand -base64 32) prints"
        ) from None
    return key


def message_id(key: str) -> str:
    """Return a key as a `webhook-id`: visible ASCII without a full stop, which separates what is signed."""
    return quote(key, safe=_ID_SAFE).replace(".", "%2E")


def signature(keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove a try: one signature for each key, so that a receiver may know either.

    Args:
        keys: the newest first.
        webhook_id: the same for every try.
        timestamp: of this try, in seconds since 1970; receivers refuse what is older than some minutes.
        body: as it will leave.
    """
    values = [base64.b64encode(digest(key, webhook_id, str(timestamp), body)).decode() for key in keys]
    return {TIMESTAMP: str(timestamp), SIGNATURE: " ".join(f"v1,{value}" for value in values)}


def digest(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> bytes:
    """Return what a key makes of a try; id and time as they stand in the headers."""
    signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
    return hmac.digest(key, signed, hashlib.sha256)
