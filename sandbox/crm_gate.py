"""The gate at which the CRM holds requests, so that a test knows exactly how far each one has come."""

import asyncio

from sandbox.changes import Changes, ClosedError


class Gate:
    """Where held requests wait, in the order of their arrival, until they are released."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._changes = Changes()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return len(self._waiting)

    async def hold(self) -> None:
        """Wait to be released; ``ClosedError`` when the gate closes instead."""
        if self._is_closed:
            raise ClosedError
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        self._changes.notify()
        await ticket

    async def arrived(self, count: int, *, within_seconds: float = 30.0) -> None:
        """Wait until ``count`` requests wait at the gate."""
        await self._changes.until(lambda: self.waiting >= count, within_seconds=within_seconds)

    def release(self, count: int | None = None) -> int:
        """Let those that wait go on, all or the first ``count``, and say how many those were."""
        released = self._waiting[:count]
        del self._waiting[: len(released)]
        for ticket in released:
            if not ticket.done():
                ticket.set_result(None)
        return len(released)

    def close(self) -> None:
        """Turn away those that wait, and those that wait for them."""
        self._is_closed = True
        self._changes.close()
        for ticket in self._waiting:
            if not ticket.done():
                ticket.set_exception(ClosedError())
        self._waiting.clear()
