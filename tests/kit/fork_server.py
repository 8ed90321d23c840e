"""Starts ``outbox`` again and again by forking a process that has imported it: most of what a start costs is importing.

`main`, with a name as the program's argument, listens at an abstract socket (unix(7)) for one request a connection (see
`tests.kit.forked`), and answers with two lines: the id of the process, and, when it has ended, its exit code (a
signal's number is negative).
Each is a process of its own, with its own environment, folder and files; all of them are killed when standard input
ends, which is when the test run is no more.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import random
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

PACKAGES = ("outbox", "adapters")
# Its consoles are as wide as the environment says when it is imported.
LATER = "outbox.cli."
LIBRARIES = ("outbox.cli.main", "typer._adapters", "typer.rich_utils", "rich.markdown", "rich.table", "aiohttp.web")
# Standard output and error; there is nothing to read.
FILES = 2
LENGTH_BYTES = 8


def main() -> None:
    """Serve until standard input ends; in a forked process, be ``outbox``."""
    for name in (*LIBRARIES, *_modules()):
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
    # A fork has one thread: whatever another one has locked would stay so.
    assert threading.active_count() == 1
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{sys.argv[1]}")
        listener.listen(128)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        arguments = _serve(listener)
    if arguments is not None:
        sys.argv = ["outbox", *arguments]
        sys.modules["outbox.cli.main"].main()


def _modules() -> list[str]:
    packages = [importlib.import_module(name) for name in PACKAGES]
    found = [
        module.name
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return [name for name in found if not name.startswith(LATER)]


def _serve(listener: socket.socket) -> Sequence[str] | None:
    """Return the arguments of the command that this process is now, or None at the end of standard input."""
    children: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == 0:
                    _end(children)
                    return None
                if key.fileobj is listener:
                    conversation, _ = listener.accept()
                    request, files = _request(conversation)
                    pid = os.fork()
                    if pid == 0:
                        for other, (_, conversation_of_other) in children.items():
                            os.close(other)
                            conversation_of_other.close()
                        conversation.close()
                        return _become(request, files)
                    for file in files:
                        os.close(file)
                    ended = os.pidfd_open(pid)
                    children[ended] = (pid, conversation)
                    selector.register(ended, selectors.EVENT_READ)
                    _tell(conversation, pid)
                    continue
                selector.unregister(key.fd)
                pid, conversation = children.pop(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(pid, 0)
                _tell(conversation, os.waitstatus_to_exitcode(status))
                conversation.close()


def _request(conversation: socket.socket) -> tuple[dict[str, Any], list[int]]:
    first, files, _, _ = socket.recv_fds(conversation, LENGTH_BYTES, FILES)
    wanted = int.from_bytes(first, "big")
    body = b""
    while len(body) < wanted:
        body += conversation.recv(wanted - len(body))
    return json.loads(body), files


def _become(request: dict[str, Any], files: Sequence[int]) -> Sequence[str]:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, *files)):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    random.seed()
    return request["arguments"]


def _tell(conversation: socket.socket, number: int) -> None:
    # Who asked may have gone.
    with suppress(OSError):
        conversation.sendall(b"%d\n" % number)


def _end(children: dict[int, tuple[int, socket.socket]]) -> None:
    for pid, _ in children.values():
        os.kill(pid, signal.SIGKILL)
