"""The wheel: complete, and working where no checkout is near."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from outbox.postgres.scripts import functions, migrations
from tests.kit.database import Database

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", str(ROOT), "--no-deps", "--wheel-dir", str(folder))
    (wheel,) = folder.glob("outbox_sidecar-*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and, by reference, our libraries; the checkout is not in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # A path file of this folder is read, those in the folder that it names are not: no editable install comes along.
    (packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    programs = folder / "bin"
    _pip("--python", str(programs / "python"), "install", "--no-deps", "--no-index", str(wheel))
    return programs


def test_the_wheel_has_every_sql_file_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    sql = {f"outbox/sql/migrations/{script.name}.sql" for script in migrations()}
    sql |= {f"outbox/sql/functions/{script.name}.sql" for script in functions()}
    once = {file.relative_to(ROOT) for file in (ROOT / "sql" / "once").iterdir()}
    assert sql | {f"outbox/{file}" for file in once} <= set(names)
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"outbox", "adapters"}
    assert "outbox = outbox.cli.main:main" in _entry_points(wheel)


def _entry_points(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        return archive.read(name).decode()


async def test_what_the_wheel_installed_migrates_a_database(
    environment: Path, empty_database: Database, tmp_path: Path
) -> None:
    where = await _run(tmp_path, environment / "python", "-c", "import outbox; print(outbox.__file__)")
    assert ROOT not in Path(where.strip()).parents

    urls = {"OUTBOX_PG_URL": empty_database.url, "OUTBOX_AMQP_URL": "amqp://localhost/"}
    shown = await _run(tmp_path, environment / "outbox", "--help")
    done = await _run(tmp_path, environment / "outbox", "migrate", **urls)

    assert "Exit codes:" in shown
    assert f"{len(migrations())} migrations and {len(functions())} functions applied" in done
    assert await empty_database.value("select outbox.emit('a', 'k', '{}') is not null")


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


async def _run(folder: Path, *command: str | Path, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()
