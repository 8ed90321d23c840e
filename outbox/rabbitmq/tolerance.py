"""Reading what other programs put into our queues, whatever it is.

The library ends the connection over a property that it cannot decode: text that is not UTF-8, a timestamp in
nanoseconds, headers nested without end. The broker then delivers the message again, with everything behind it, until
the delivery limit throws all of it out. Here such a property becomes one that can be read; the inbox refuses the
message and tells why.
"""

from __future__ import annotations

from pamqp import decode
from pamqp.common import FieldTable, FieldValue

_LENGTH_BYTES = 4
_TIMESTAMP_BYTES = 8
# Enough to recognise a header by.
_SHOWN_BYTES = 1000

UNDECODABLE = "undecodable"


def tolerate_foreign_messages() -> None:
    """Put our decoders before the library's, for this whole process; safe to repeat."""
    decode.METHODS.update({"shortstr": _short_text, "timestamp": _timestamp, "table": _table})


def _short_text(value: bytes) -> tuple[int, str]:
    try:
        return decode.short_str(value)
    except UnicodeDecodeError:
        size_bytes = value[0]
        return size_bytes + 1, value[1 : size_bytes + 1].decode(errors="backslashreplace")


def _timestamp(value: bytes) -> tuple[int, FieldValue]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        if len(value) < _TIMESTAMP_BYTES:
            raise
        return _TIMESTAMP_BYTES, None


def _table(value: bytes) -> tuple[int, FieldTable]:
    try:
        return decode.field_table(value)
    except (ValueError, OverflowError, OSError, RecursionError):
        end = _LENGTH_BYTES + int.from_bytes(value[:_LENGTH_BYTES], "big")
        if end > len(value):
            raise
        return end, {UNDECODABLE: ascii(value[_LENGTH_BYTES:end][:_SHOWN_BYTES])}
