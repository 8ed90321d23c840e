"""The other system, as fast as one core allows: answers every record with an id, and counts. Runs until it is killed.

A bare protocol instead of a web framework: what is measured is whoever calls it.
"""

import argparse
import asyncio
import re
from typing import cast

import orjson
import uvloop

from bench.waiting import rest

_DAY_SECONDS = 86_400.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"


class _Target:
    """What all connections share."""

    effects = 0
    requests = 0

    def answer(self, line: bytes, body: bytes) -> bytes:
        """Take a request's first line and body; return the JSON of the answer."""
        if line.startswith(b"GET"):
            return b"%d" % self.effects
        self.requests += 1
        first = self.effects + 1
        if line.startswith(b"POST /batch"):
            self.effects += len(orjson.loads(body))
            return orjson.dumps([{"id": str(number)} for number in range(first, self.effects + 1)])
        self.effects = first
        return b'{"id":"%d"}' % first


class _Connection(asyncio.Protocol):
    def __init__(self, target: _Target) -> None:
        self._target = target
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            total = end + len(_END) + (int(length[1]) if length is not None else 0)
            if len(self._buffer) < total:
                return
            request, self._buffer = self._buffer[:total], self._buffer[total:]
            content = self._target.answer(request[: request.index(b"\r\n")], request[end + len(_END) :])
            if self._transport is not None:
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(content), content)
                )


async def main(port: int) -> None:
    """Listen on the loopback."""
    target = _Target()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(target), "127.0.0.1", port)
    print("ready", flush=True)
    async with server:
        await rest(_DAY_SECONDS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.flow_target", description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(main(parser.parse_args().port))
