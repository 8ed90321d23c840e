"""A TCP proxy that breaks connections on command: reset, refused, frozen, or cut at an exact byte.

It must never change, reorder or drop a byte of a connection that was not told to fail.
"""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from types import TracebackType
from typing import Self

from sandbox.changes import Changes

_CHUNK_BYTES = 65_536
_CONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 10.0
# Linger switched on with zero seconds makes close() send RST instead of FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Direction(StrEnum):
    """Where bytes travel to."""

    TO_TARGET = "to_target"
    TO_CLIENT = "to_client"


class TcpProxy:
    """Forwards a loopback port to a target, and fails on command.

    Use it as ``async with TcpProxy("127.0.0.1", 5432) as proxy`` and connect to ``proxy.port``.
    """

    def __init__(self, target_host: str, target_port: int, *, host: str = "127.0.0.1") -> None:
        self.target_host = target_host
        self.target_port = target_port
        self.host = host
        self.forwarded_bytes: Counter[Direction] = Counter()
        self.held_bytes: Counter[Direction] = Counter()
        self.connections_total = 0
        self._links: set[_Link] = set()
        self._budgets: dict[Direction, _Budget] = {}
        self._serving = 0
        self._stalled: set[Direction] = set()
        self._is_closed = False
        self._changes = Changes()
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None

    async def __aenter__(self) -> Self:
        # A bound socket that never listens keeps the port ours while connections are refused.
        self._reserved = _bind(self.host, 0)
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self.refuse()
        self.cut()
        try:
            await self._changes.until(lambda: self._serving == 0, within_seconds=_CLOSE_SECONDS)
        finally:
            if self._reserved is not None:
                self._reserved.close()

    @property
    def port(self) -> int:
        """The loopback port to connect to; it stays the same through ``refuse`` and ``accept``."""
        if self._reserved is None:
            raise RuntimeError("the proxy has no port before `async with`")
        port: int = self._reserved.getsockname()[1]
        return port

    @property
    def connections_open(self) -> int:
        """Connections that forward bytes, or would if they were not stalled."""
        return sum(not link.is_cut for link in self._links)

    def cut(self) -> None:
        """Reset every connection now, in both directions; new connections are accepted."""
        for link in self._links:
            link.cut()

    def cut_after(self, byte_count: int, direction: Direction) -> asyncio.Event:
        """Cut every connection once ``byte_count`` more bytes have gone in one direction; 0: before the next.

        The receiver of the last bytes gets all of them and then the end of the stream; every other peer is
        reset. Works once. The returned event is set when the cut has happened.
        """
        budget = _Budget(byte_count)
        self._budgets[direction] = budget
        return budget.spent

    def stall(self, *directions: Direction) -> None:
        """Freeze one direction, or both: connections stay open and are accepted, no byte and no close is forwarded."""
        self._stalled.update(directions or Direction)
        for link in self._links:
            link.stall(self._stalled)

    def resume(self) -> None:
        """End ``stall``: everything held back goes on its way."""
        self._stalled.clear()
        for link in self._links:
            link.flow()

    def refuse(self) -> None:
        """Refuse new connections as a stopped server does; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        """Accept new connections again, on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=_bind(self.host, self.port))

    async def connected(self, count: int, *, within_seconds: float = 30.0) -> None:
        """Wait until ``count`` connections in all have reached the target since the proxy began."""
        await self._changes.until(lambda: self.connections_total >= count, within_seconds=within_seconds)

    async def holds(self, direction: Direction, *, within_seconds: float = 30.0) -> None:
        """Wait until a stall holds bytes back that were sent in this direction."""
        await self._changes.until(lambda: self.held_bytes[direction] > 0, within_seconds=within_seconds)

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        self._serving += 1
        link = _Link(client_writer)
        link.stall(self._stalled)
        self._links.add(link)
        try:
            await self._connect_and_forward(link, client_reader)
        finally:
            self._links.discard(link)
            self._serving -= 1
            self._changes.notify()

    async def _connect_and_forward(self, link: "_Link", client_reader: asyncio.StreamReader) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                target_reader, target_writer = await asyncio.open_connection(self.target_host, self.target_port)
        except OSError:  # TimeoutError is one
            link.cut()
            return
        link.reached(target_writer)
        if link.is_cut or self._is_closed:
            link.cut()
            return
        self.connections_total += 1
        self._changes.notify()
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(self._pump(link, client_reader, target_writer, Direction.TO_TARGET))
            pumps.create_task(self._pump(link, target_reader, link.client, Direction.TO_CLIENT))
        await link.close()

    async def _pump(
        self,
        link: "_Link",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._hold(link, chunk, direction)
                if link.is_cut:
                    continue  # what the receiver of an exact cut still says goes nowhere
                await self._forward(link, chunk, writer, direction)
            await link.flowing[direction].wait()
            if not link.is_cut:
                writer.write_eof()
        except OSError:
            # One side reset its connection, so the other side is told in the same way.
            link.cut()

    async def _hold(self, link: "_Link", chunk: bytes, direction: Direction) -> None:
        if link.flowing[direction].is_set():
            return
        self.held_bytes[direction] += len(chunk)
        self._changes.notify()
        try:
            await link.flowing[direction].wait()
        finally:
            self.held_bytes[direction] -= len(chunk)

    async def _forward(self, link: "_Link", chunk: bytes, writer: asyncio.StreamWriter, direction: Direction) -> None:
        budget = self._budgets.get(direction)
        is_last = budget is not None and len(chunk) >= budget.remaining_bytes
        if budget is not None:
            chunk = chunk[: budget.remaining_bytes]
            budget.remaining_bytes -= len(chunk)
        if is_last:
            del self._budgets[direction]
            for other in self._links - {link}:
                other.cut()
        try:
            writer.write(chunk)
            await writer.drain()
            self.forwarded_bytes[direction] += len(chunk)
        finally:
            if budget is not None and is_last:
                link.cut_all_but(writer)
                budget.spent.set()


class _Budget:
    """The bytes that may still pass before a cut."""

    def __init__(self, byte_count: int) -> None:
        self.remaining_bytes = byte_count
        self.spent = asyncio.Event()


class _Link:
    """One client's connection and its connection to the target."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.target: asyncio.StreamWriter | None = None
        self.is_cut = False
        self.flowing = {direction: asyncio.Event() for direction in Direction}
        self.flow()
        _flush_at_drain(client)

    def reached(self, target: asyncio.StreamWriter) -> None:
        self.target = target
        _flush_at_drain(target)

    def stall(self, directions: Iterable[Direction]) -> None:
        if not self.is_cut:
            for direction in directions:
                self.flowing[direction].clear()

    def flow(self) -> None:
        for flowing in self.flowing.values():
            flowing.set()

    def cut(self) -> None:
        self.is_cut = True
        self.flow()
        for writer in self._writers():
            _reset(writer)

    def cut_all_but(self, receiver: asyncio.StreamWriter) -> None:
        """Reset the sender; the receiver keeps what it was sent, which a reset could take from its socket."""
        self.is_cut = True
        self.flow()
        for writer in self._writers():
            if writer is not receiver:
                _reset(writer)
        with contextlib.suppress(OSError):
            receiver.write_eof()

    async def close(self) -> None:
        for writer in self._writers():
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _writers(self) -> list[asyncio.StreamWriter]:
        return [self.client] if self.target is None else [self.client, self.target]


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Lets the listener share its port with the socket that reserves it.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setblocking(False)
    bound.bind((host, port))
    return bound


def _flush_at_drain(writer: asyncio.StreamWriter) -> None:
    # With no buffer of its own, drain() means that the kernel has every byte.
    writer.transport.set_write_buffer_limits(high=0)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # already closed
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
