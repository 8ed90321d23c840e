"""From the bytes on the wire to the bytes that were meant: Content-Encoding and Content-Type. Pure and bounded.

A signature is over what was received, so this comes after it is verified: nobody unknown makes us unpack anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from email.message import Message

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Headers

# What zlib calls the two formats; "deflate" on the wire is zlib's own (RFC 9110, 8.4.1.2).
_FORMATS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})


def check_content_type(headers: Headers, allowed: Collection[str]) -> None:
    """Refuse what is not declared as JSON in UTF-8.

    Args:
        headers: of the request.
        allowed: content types in small letters, without parameters.

    Raises:
        RefusedRequest: another content type or charset, or none.
    """
    accepts = {"Accept": ", ".join(allowed)}
    text = headers.get("Content-Type")
    if not text:
        raise RefusedRequest(Problem.CONTENT_TYPE_UNSUPPORTED, "Content-Type is missing", accepts)
    if text in allowed:
        # As nearly everybody writes it.
        return
    message = Message()
    # Line breaks cannot come over the wire; the class would refuse them only later.
    message["Content-Type"] = text.encode("ascii", "replace").decode()
    content_type = text.partition(";")[0].strip().lower()
    if content_type not in allowed:
        raise RefusedRequest(Problem.CONTENT_TYPE_UNSUPPORTED, headers=accepts)
    charset = message.get_content_charset("utf-8")
    if charset not in _CHARSETS:
        raise RefusedRequest(Problem.CHARSET_UNSUPPORTED)


def decoded(body: bytes, headers: Headers, max_bytes: int) -> bytes:
    """Return the body without its content encoding.

    Raises:
        RefusedRequest: an unknown encoding, a broken one, or more than ``max_bytes`` come out of it.
    """
    encoding = (headers.get("Content-Encoding") or "identity").lower()
    if encoding == "identity":
        return body
    if encoding not in _FORMATS:
        raise RefusedRequest(Problem.CONTENT_ENCODING_UNSUPPORTED, headers={"Accept-Encoding": "gzip, deflate"})
    unpacking = zlib.decompressobj(_FORMATS[encoding])
    try:
        # Never more than one byte beyond the bound, whatever the sender has packed.
        unpacked = unpacking.decompress(body, max_bytes + 1)
    except zlib.error:
        raise RefusedRequest(Problem.CONTENT_ENCODING_BROKEN) from None
    if len(unpacked) > max_bytes:
        raise RefusedRequest(Problem.BODY_TOO_LARGE, f"unpacked it has more than {max_bytes} bytes")
    if not unpacking.eof or unpacking.unused_data:
        raise RefusedRequest(Problem.CONTENT_ENCODING_BROKEN, "it ends too early, or something follows it")
    return unpacked
