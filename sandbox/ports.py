"""Free TCP ports on loopback. Never binds to another address."""

import secrets
import socket
from contextlib import ExitStack
from pathlib import Path

LOOPBACK = "127.0.0.1"

_LOWEST_PORT = 20_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_EPHEMERAL_START = 32_768
_ATTEMPTS = 1_000


def free_ports(count: int) -> tuple[int, ...]:
    """Find ports that are free now.

    They lie below the range the kernel takes outgoing ports from: while a server of ours is down, nobody's
    connection can take its port, and no client that reconnects can end up connected to itself.
    All are held at once while they are looked for, so that no port is handed out twice.
    """
    with ExitStack() as held:
        return tuple(_bind(held.enter_context(socket.socket())) for _ in range(count))


def _bind(listener: socket.socket) -> int:
    start = _ephemeral_start()
    if start > _LOWEST_PORT:
        for _ in range(_ATTEMPTS):
            port = _LOWEST_PORT + secrets.randbelow(start - _LOWEST_PORT)
            try:
                listener.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    listener.bind((LOOPBACK, 0))
    port_of_kernel: int = listener.getsockname()[1]
    return port_of_kernel


def _ephemeral_start() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        return _DEFAULT_EPHEMERAL_START
