"""Types what a tutorial says, as its reader does: in one shell that remembers, and in a new one what is to stay."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sandbox.demo_programs import Leash
from sandbox.tutorial import Command, Manner

_ONE_SECONDS = 60.0
_SOON_SECONDS = 45.0
_STAYS_SECONDS = 60.0
_END_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.25
_SHOWN_CHARACTERS = 4000
# What a shell does around a command of its reader: what the one before has left, and what the next one needs.
_SCRIPT = """\
source {state}/variables && cd "$(cat {state}/folder)" || exit 125
{command}
status=$?
export -p > {state}/variables
pwd > {state}/folder
exit $status
"""
_NEW_TERMINAL = "cd {folder} || exit 125\n{command}\n"
# Also that of make, which says that it was interrupted.
_INTERRUPTED = frozenset({0, 128 + signal.SIGINT, -signal.SIGINT})
# A terminal of common width; what is no terminal would get 80 columns.
_COLUMNS = "120"


class TutorialError(Exception):
    """Something that the tutorial says is not so."""

    def __init__(self, command: Command, problem: str, output: str) -> None:
        shown = "\n".join(command.shown) or "(nothing)"
        super().__init__(
            f"line {command.line}: $ {command.text}\n{problem}\n--- the tutorial shows ---\n{shown}\n"
            f"--- there was ---\n{output[-_SHOWN_CHARACTERS:] or '(nothing)'}"
        )


class Shell:
    """The reader's terminals. ``state`` is a folder of its own, ``folder`` where the reader begins."""

    def __init__(self, folder: Path, state: Path, variables: Mapping[str, str], leash: Leash) -> None:
        self._state = state
        self._folder = folder
        self._environment = {**variables, "COLUMNS": _COLUMNS}
        self._leash = leash
        self._staying: list[tuple[Command, asyncio.subprocess.Process, Path]] = []
        (state / "variables").write_text("", encoding="utf-8")
        (state / "folder").write_text(f"{folder}\n", encoding="utf-8")

    async def type(self, command: Command) -> str:
        """Type a command, and return what it has shown.

        Raises:
            TutorialError: it fails, or shows something else, or something that has to stay has ended.
        """
        self._require_staying()
        match command.manner:
            case Manner.ONCE:
                output = await self._once(command)
                if not command.is_shown_by(output):
                    raise TutorialError(command, "shows something else", output)
                return output
            case Manner.SOON:
                return await self._soon(command)
            case Manner.STAYS:
                return await self._stays(command)

    async def end(self) -> None:
        """Press Ctrl-C in every terminal where something still runs, the newest first.

        Raises:
            TutorialError: something did not end in order.
        """
        while self._staying:
            command, process, log = self._staying.pop()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                async with asyncio.timeout(_END_SECONDS):
                    code = await process.wait()
            except TimeoutError:
                raise TutorialError(command, "did not end after Ctrl-C", _text(log)) from None
            self._leash.forget(process.pid)
            if code not in _INTERRUPTED:
                raise TutorialError(command, f"ended with exit code {code} after Ctrl-C", _text(log))

    async def _once(self, command: Command) -> str:
        log = self._state / "output"
        process = await self._start(_SCRIPT.format(state=self._state, command=command.text), log)
        self._leash.track(process.pid)
        try:
            async with asyncio.timeout(_ONE_SECONDS):
                code = await process.wait()
        except TimeoutError:
            raise TutorialError(command, f"did not end within {_ONE_SECONDS:.0f} s", _text(log)) from None
        self._leash.forget(process.pid)
        if code != 0:
            raise TutorialError(command, f"ended with exit code {code}", _text(log))
        return _text(log)

    async def _soon(self, command: Command) -> str:
        output = ""
        try:
            async with asyncio.timeout(_SOON_SECONDS):
                while True:
                    output = await self._once(command)
                    if command.is_shown_by(output):
                        return output
                    self._require_staying()
                    await self._pause()
        except TimeoutError:
            raise TutorialError(command, f"does not show it within {_SOON_SECONDS:.0f} s", output) from None

    async def _stays(self, command: Command) -> str:
        log = self._state / f"stays-{command.line}"
        process = await self._start(_NEW_TERMINAL.format(folder=self._folder, command=command.text), log)
        self._leash.track_terminal(process.pid)
        self._staying.append((command, process, log))
        try:
            async with asyncio.timeout(_STAYS_SECONDS):
                while not command.is_shown_by(_text(log)):
                    self._require_staying()
                    await self._pause()
        except TimeoutError:
            raise TutorialError(command, f"does not begin so within {_STAYS_SECONDS:.0f} s", _text(log)) from None
        return "\n".join(command.shown)

    async def _start(self, script: str, log: Path) -> asyncio.subprocess.Process:
        with log.open("wb") as output:
            return await asyncio.create_subprocess_exec(
                "bash",
                "-c",
                script,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                # A terminal of its own, in which Ctrl-C reaches everything that the command has started.
                start_new_session=True,
            )

    def _require_staying(self) -> None:
        for command, process, log in self._staying:
            if process.returncode is not None:
                raise TutorialError(command, f"ended by itself with exit code {process.returncode}", _text(log))

    async def _pause(self) -> None:
        """Wait as a reader does who looks again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                await asyncio.Event().wait()


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
