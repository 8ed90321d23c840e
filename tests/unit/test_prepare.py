"""Preparing decides in pure code; what it runs is stubbed here, so that no test installs anything."""

import stat
from pathlib import Path

import pytest

from sandbox import environment, prepare
from sandbox.errors import SandboxError
from sandbox.packages import install_package
from sandbox.sources import (
    Absent,
    Given,
    Local,
    Means,
    Remedy,
    choose,
    postgres_remedy,
    rabbitmq_remedy,
)

PROGRAMS = Path("/usr/lib/postgresql/17/bin")


def test_a_url_wins_over_programs_on_the_machine() -> None:
    assert choose("amqp://broker/", PROGRAMS) == Given("amqp://broker/")


def test_programs_on_the_machine_are_used_without_a_url() -> None:
    assert choose(None, PROGRAMS) == Local(PROGRAMS)


def test_an_empty_url_is_no_url() -> None:
    assert choose("", PROGRAMS) == Local(PROGRAMS)


def test_nothing_given_and_nothing_here_is_absent() -> None:
    assert choose(None, None) == Absent()


@pytest.mark.parametrize(
    ("means", "remedy"),
    [
        (Means(is_linux=True, can_install_packages=True, has_compose=True), Remedy.INSTALL_PACKAGE),
        (Means(is_linux=True, can_install_packages=False, has_compose=True), Remedy.COMPOSE),
        (Means(is_linux=False, can_install_packages=True, has_compose=True), Remedy.COMPOSE),
        (Means(is_linux=True, can_install_packages=False, has_compose=False), Remedy.NONE),
    ],
)
def test_rabbitmq_comes_from_the_package_else_from_a_container(means: Means, remedy: Remedy) -> None:
    assert rabbitmq_remedy(means) is remedy


@pytest.mark.parametrize(
    ("means", "remedy"),
    [
        (Means(is_linux=True, can_install_packages=True, has_compose=True), Remedy.INSTALL_WHEEL),
        (Means(is_linux=True, can_install_packages=False, has_compose=False), Remedy.INSTALL_WHEEL),
        (Means(is_linux=False, can_install_packages=False, has_compose=True), Remedy.COMPOSE),
        (Means(is_linux=False, can_install_packages=False, has_compose=False), Remedy.NONE),
    ],
)
def test_postgres_comes_from_the_wheel_else_from_a_container(means: Means, remedy: Remedy) -> None:
    assert postgres_remedy(means) is remedy


def test_the_environment_alone_asks_for_no_server() -> None:
    assert list(prepare.steps_for("venv")) == ["virtual environment"]
    assert list(prepare.steps_for("servers")) == ["virtual environment", "PostgreSQL", "RabbitMQ"]


def test_measuring_needs_the_servers_and_what_may_be_left_out() -> None:
    assert list(prepare.steps_for("bench")) == [*prepare.steps_for("servers"), "C yardstick", "chart"]


def test_a_yardstick_that_cannot_be_built_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "can_build_rabbitmq_c", lambda: False)
    monkeypatch.setattr(prepare, "root_prefix", lambda: None)
    outcome = prepare.prepare_yardstick(print)
    assert outcome.startswith("left out:")
    assert "librabbitmq" in outcome


def test_a_yardstick_whose_package_cannot_be_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(package: str, **_: object) -> None:
        raise SandboxError(f"apt-get could not install {package}", next_step="read its message")

    monkeypatch.setattr(prepare, "can_build_rabbitmq_c", lambda: False)
    monkeypatch.setattr(prepare, "has_apt", lambda: True)
    monkeypatch.setattr(prepare, "root_prefix", lambda: ())
    monkeypatch.setattr(prepare, "install_package", refuse)
    assert prepare.prepare_yardstick(lambda _: None) == "left out: apt-get could not install gcc"


def test_a_chart_that_cannot_be_drawn_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_extra: str) -> None:
        raise SandboxError("pip could not install it", next_step="check the network")

    monkeypatch.setattr(prepare.environment, "has_module", lambda _name: False)
    monkeypatch.setattr(prepare.environment, "install_extra", refuse)
    assert prepare.prepare_chart(lambda _: None) == "left out: pip could not install it"


def test_without_node_and_its_wheel_the_test_of_a_consumer_in_node_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise SandboxError("pip could not install it", next_step="check the network")

    monkeypatch.setattr(prepare, "find_node", lambda: None)
    monkeypatch.setattr(prepare.environment, "pip_install", refuse)
    outcome = prepare.prepare_node(lambda _: None)
    assert outcome == "not here, its test will be skipped: pip could not install it"


def test_a_url_is_shown_without_its_password() -> None:
    assert prepare.without_password("amqp://me:secret@host:5672/x") == "amqp://me:***@host:5672/x"
    assert prepare.without_password("postgresql://host/db") == "postgresql://host/db"


def test_each_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def step(say: prepare.Say) -> str:
        say("installing")
        return "ready"

    prepare.run({"one": step, "two": lambda _say: "found"})

    first, second = capsys.readouterr().out.splitlines()
    assert first == "[1/2] one … installing … ready (0.0 s)"
    assert second == "[2/2] two … found (0.0 s)"


def test_a_failed_step_ends_its_line_and_passes_the_error_on(capsys: pytest.CaptureFixture[str]) -> None:
    def step(_say: prepare.Say) -> str:
        raise SandboxError("no server", next_step="install one")

    with pytest.raises(SandboxError, match="no server\n  next step: install one"):
        prepare.run({"one": step})
    assert capsys.readouterr().out == "[1/1] one … failed\n"


def test_without_any_way_to_a_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTBOX_AMQP_URL", raising=False)
    monkeypatch.setattr(prepare, "find_rabbitmq", lambda: None)
    monkeypatch.setattr(prepare, "has_compose", lambda: False)
    monkeypatch.setattr(prepare, "root_prefix", lambda: None)

    with pytest.raises(SandboxError) as caught:
        prepare.prepare_rabbitmq(print)
    assert "rabbitmq-server" in caught.value.next_step
    assert "OUTBOX_AMQP_URL" in caught.value.next_step


def test_the_environment_is_installed_again_only_when_its_requirements_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requirements, stamp = tmp_path / "pyproject.toml", tmp_path / "stamp"
    requirements.write_text("one")
    monkeypatch.setattr(environment, "_REQUIREMENTS", requirements)
    monkeypatch.setattr(environment, "_STAMP", stamp)
    installed: list[tuple[str, ...]] = []
    monkeypatch.setattr(environment, "pip_install", lambda *arguments: installed.append(arguments))
    monkeypatch.setattr(environment, "_runs", lambda: True)

    assert not environment.is_installed()
    environment.install()
    assert environment.is_installed()
    requirements.write_text("two")
    assert not environment.is_installed()
    assert [arguments[0] for arguments in installed] == ["--editable"]


class Debian:
    """A machine whose package tools only write down how they were called."""

    def __init__(self, folder: Path, *, apt_exit_code: int = 0, is_package_known: bool = True) -> None:
        self.policy = folder / "policy-rc.d"
        self._calls = folder / "calls"
        self._calls.touch()
        self._programs = folder / "bin"
        self._programs.mkdir()
        self._stub("apt-get", f'[ -e "{self.policy}" ] && echo "policy is there"; exit {apt_exit_code}')
        self._stub("apt-cache", f"exit {0 if is_package_known else 100}")
        self._stub("systemctl", "exit 0")

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines()

    @property
    def path(self) -> str:
        return f"{self._programs}:/usr/bin:/bin"

    def _stub(self, name: str, body: str) -> None:
        program = self._programs / name
        program.write_text(f'#!/bin/sh\nexec >>"{self._calls}"\necho "{name} $*"\n{body}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_no_service_can_start_while_a_package_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian = Debian(tmp_path)
    monkeypatch.setenv("PATH", debian.path)

    install_package("rabbitmq-server", as_root=(), policy=debian.policy)

    assert "policy is there" in debian.calls
    assert not debian.policy.exists()
    assert debian.calls[-1] == "systemctl --quiet disable rabbitmq-server.service"
    assert not [call for call in debian.calls if "update" in call]


def test_a_failed_installation_leaves_no_policy_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian = Debian(tmp_path, apt_exit_code=100)
    monkeypatch.setenv("PATH", debian.path)

    with pytest.raises(SandboxError, match="exit code 100"):
        install_package("rabbitmq-server", as_root=(), policy=debian.policy)
    assert not debian.policy.exists()


def test_the_owners_policy_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian = Debian(tmp_path)
    debian.policy.write_text("the owner's")
    monkeypatch.setenv("PATH", debian.path)

    install_package("rabbitmq-server", as_root=(), policy=debian.policy)

    assert debian.policy.read_text() == "the owner's"


def test_package_lists_are_fetched_when_they_do_not_know_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = Debian(tmp_path, is_package_known=False)
    monkeypatch.setenv("PATH", debian.path)

    install_package("rabbitmq-server", as_root=(), policy=debian.policy)

    assert [call.split()[1] for call in debian.calls if call.startswith("apt-get")] == ["update", "install"]
