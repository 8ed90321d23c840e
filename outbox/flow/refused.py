"""What a part of a mapping says when it cannot go on; the rule that it is part of says where."""

from __future__ import annotations

from outbox.flow.document import kind_of


class Refused(Exception):
    """A value cannot become what is wanted.

    Args:
        reason: what was found, by kind and never by value.
        source: the path of what was found, if it is not the rule's own.
    """

    def __init__(self, reason: str, source: str | None = None) -> None:
        self.reason = reason
        self.source = source
        super().__init__(reason)


def expected(wanted: str, found: object) -> Refused:
    """Return the refusal of a value of another kind."""
    return Refused(f"is {kind_of(found)}, expected {wanted}")
