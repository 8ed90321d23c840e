"""Whether the inbox has room for more: a mark, and a lower one at which it has again. Pure."""

from __future__ import annotations

# Looking costs a walk over what waits, so it is done when a tenth of the mark may have been added.
_LOOKS_PER_MARK = 10
# Where it begins again: the subscription is made anew for it, so that is not done for every single message.
_LOW_SHARE = 0.8


class Room:
    """Decides when a flow's queue keeps its messages.

    ``most``: deliveries that may wait for a call.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting = 0
        self.is_full = False
        self._since_look = 0

    def is_look_due(self, accepted: int) -> bool:
        """Note that so many were added; say whether it is time to count."""
        self._since_look += accepted
        return self.waiting + self._since_look >= self.most or self._since_look * _LOOKS_PER_MARK >= self.most

    def see(self, waiting: int) -> bool:
        """Note how many wait; say whether there is no room."""
        self.waiting = waiting
        self._since_look = 0
        self.is_full = waiting >= (self.most * _LOW_SHARE if self.is_full else self.most)
        return self.is_full
