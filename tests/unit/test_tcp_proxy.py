"""The proxy forwards faithfully, and fails exactly as told."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sandbox.tcp_proxy import Direction, TcpProxy


class Target:
    """An echo server that remembers what it received and how each connection ended."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65_536):
                self.received += chunk
                writer.write(chunk)
                await writer.drain()
            end = "end of stream"
        except ConnectionResetError:
            end = "reset"
        writer.close()
        self.ends.put_nowait(end)


@asynccontextmanager
async def echo_target() -> AsyncIterator[Target]:
    target = Target()
    async with await asyncio.start_server(target.serve, "127.0.0.1", 0) as server:
        target.port = server.sockets[0].getsockname()[1]
        yield target


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[TcpProxy, Target]]:
    async with asyncio.timeout(20), echo_target() as target, TcpProxy("127.0.0.1", target.port) as proxy:
        yield proxy, target


@asynccontextmanager
async def connected_to(proxy: TcpProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_bytes_arrive_unchanged_in_both_directions() -> None:
    sent = bytes(range(256)) * 8_192
    async with proxied() as (proxy, target), connected_to(proxy) as (reader, writer):
        async with asyncio.TaskGroup() as tasks:
            echoed = tasks.create_task(reader.readexactly(len(sent)))
            writer.write(sent)
            await writer.drain()
        assert echoed.result() == sent
        assert target.received == sent
        assert proxy.forwarded_bytes == {Direction.TO_TARGET: len(sent), Direction.TO_CLIENT: len(sent)}


async def test_the_end_of_a_stream_is_forwarded() -> None:
    async with proxied() as (proxy, target), connected_to(proxy) as (reader, writer):
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() == b"last words"
        assert await target.ends.get() == "end of stream"


async def test_connected_waits_for_connections_and_counts_them() -> None:
    async with proxied() as (proxy, _), asyncio.TaskGroup() as tasks:
        both = tasks.create_task(proxy.connected(2))
        async with connected_to(proxy):
            await proxy.connected(1)
            assert not both.done()
            async with connected_to(proxy):
                await both
                assert (proxy.connections_total, proxy.connections_open) == (2, 2)


async def test_connected_gives_up_after_its_bound() -> None:
    async with proxied() as (proxy, _):
        with pytest.raises(TimeoutError):
            await proxy.connected(1, within_seconds=0.01)


async def test_a_cut_resets_both_sides_and_the_next_connection_works() -> None:
    async with proxied() as (proxy, target):
        async with connected_to(proxy) as (reader, _):
            await proxy.connected(1)
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert await target.ends.get() == "reset"
            assert proxy.connections_open == 0
        async with connected_to(proxy) as (reader, writer):
            writer.write(b"again")
            assert await reader.readexactly(5) == b"again"


async def test_a_reset_of_the_client_reaches_the_target_as_a_reset() -> None:
    async with proxied() as (proxy, target), connected_to(proxy) as (_, writer):
        await proxy.connected(1)
        linger_for_zero_seconds = struct.pack("ii", 1, 0)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_zero_seconds)
        writer.transport.abort()
        assert await target.ends.get() == "reset"


async def test_new_connections_are_refused_while_open_ones_live_on() -> None:
    async with proxied() as (proxy, _), connected_to(proxy) as (reader, writer):
        await proxy.connected(1)
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        await proxy.accept()
        assert proxy.port == port
        async with connected_to(proxy):
            await proxy.connected(2)


async def test_a_stalled_connection_stays_open_and_loses_nothing() -> None:
    async with proxied() as (proxy, _), connected_to(proxy) as (reader, writer):
        await proxy.connected(1)
        proxy.stall()
        writer.write(b"held back")
        assert proxy.connections_open == 1
        proxy.resume()
        assert await reader.readexactly(9) == b"held back"


@pytest.mark.parametrize("direction", list(Direction))
async def test_a_stall_of_one_direction_lets_the_other_flow(direction: Direction) -> None:
    async with proxied() as (proxy, target), connected_to(proxy) as (reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.stall(direction)
        writer.write(b"during")
        await proxy.holds(direction)
        assert proxy.held_bytes[direction] == 6
        assert target.received == (b"before" if direction is Direction.TO_TARGET else b"beforeduring")
        proxy.resume()
        assert await reader.readexactly(6) == b"during"
        assert proxy.held_bytes[direction] == 0


async def test_a_proxy_that_is_not_stalled_holds_nothing() -> None:
    async with proxied() as (proxy, _), connected_to(proxy) as (reader, writer):
        writer.write(b"on its way")
        assert await reader.readexactly(10) == b"on its way"
        with pytest.raises(TimeoutError):
            await proxy.holds(Direction.TO_TARGET, within_seconds=0.01)


async def test_a_connection_made_during_a_stall_is_stalled_too() -> None:
    async with proxied() as (proxy, _):
        proxy.stall()
        async with connected_to(proxy) as (reader, writer):
            writer.write(b"held back")
            await proxy.connected(1)
            proxy.resume()
            assert await reader.readexactly(9) == b"held back"


async def test_what_a_stall_holds_back_is_gone_after_a_cut() -> None:
    async with proxied() as (proxy, target), connected_to(proxy) as (reader, writer):
        await proxy.connected(1)
        proxy.stall()
        writer.write(b"never arrives")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert await target.ends.get() == "reset"
        assert target.received == b""


@pytest.mark.parametrize("byte_count", [0, 1, 7, 99_999, 100_000])
async def test_the_target_gets_exactly_the_bytes_before_the_cut(byte_count: int) -> None:
    async with proxied() as (proxy, target), connected_to(proxy) as (reader, writer):
        cut = proxy.cut_after(byte_count, Direction.TO_TARGET)
        writer.write(b"x" * 100_000)
        await cut.wait()
        assert await target.ends.get() == "end of stream"
        assert len(target.received) == byte_count
        assert proxy.forwarded_bytes[Direction.TO_TARGET] == byte_count
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(byte_count + 1)


@pytest.mark.parametrize("byte_count", [0, 1, 7, 99_999, 100_000])
async def test_the_client_gets_exactly_the_bytes_before_the_cut(byte_count: int) -> None:
    async with proxied() as (proxy, target), connected_to(proxy) as (reader, writer):
        cut = proxy.cut_after(byte_count, Direction.TO_CLIENT)
        writer.write(b"x" * 100_000)
        assert len(await reader.read(-1)) == byte_count
        await cut.wait()
        assert await target.ends.get() == "reset"


async def test_an_exact_cut_counts_from_now_and_works_once() -> None:
    async with proxied() as (proxy, _):
        async with connected_to(proxy) as (reader, writer):
            writer.write(b"12345")
            await reader.readexactly(5)
            proxy.cut_after(3, Direction.TO_CLIENT)
            writer.write(b"67890")
            assert await reader.read(-1) == b"678"
        async with connected_to(proxy) as (reader, writer):
            writer.write(b"12345")
            assert await reader.readexactly(5) == b"12345"


async def test_an_exact_cut_resets_the_other_connections() -> None:
    async with (
        proxied() as (proxy, _),
        connected_to(proxy) as (bystander, _),
        connected_to(proxy) as (reader, writer),
    ):
        await proxy.connected(2)
        proxy.cut_after(2, Direction.TO_CLIENT)
        writer.write(b"1234")
        assert await reader.read(-1) == b"12"
        with pytest.raises(ConnectionResetError):
            await bystander.read()


async def test_a_target_that_is_down_resets_the_client() -> None:
    async with asyncio.timeout(20):
        async with echo_target() as target:
            dead_port = target.port
        async with TcpProxy("127.0.0.1", dead_port) as proxy, connected_to(proxy) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert proxy.connections_total == 0
