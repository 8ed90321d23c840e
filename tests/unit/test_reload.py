"""What newer settings change, when files count as changed, and what is asked for before anybody can hear it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from outbox.admin.http import AdminServer
from outbox.app_reload import Reloader
from outbox.config.difference import Difference, difference
from outbox.config.settings import Settings
from outbox.config.source import SettingsSource, settings_hash
from outbox.model.errors import Misconfigured
from outbox.model.lifecycle import LanesChanged, Lifecycle
from outbox.model.settings_events import (
    FlowStarted,
    FlowStopped,
    SettingsInEffect,
    SettingsRefused,
    SettingsUnchanged,
)
from outbox.supervisor import Pulse, Stop
from outbox.telemetry.metrics import Metrics
from outbox.wiring_targets import targets_of
from tests.unit.config_cases import ADAPTERS, URLS, settings_of

CONNECTIONS = (
    "connections: {crm: {base_url: 'https://crm.example.com', bearer: one}, shop: {base_url: 'https://s.example.com'}}"
)
FLOW = (
    "{description: d, events: [e], adapter: {use: rest, connection: %s, path: /x}, "
    "mapping: [{target_field: a, source_field: b%s}]}"
)
A, B = f"a: {FLOW % ('crm', '')}", f"b: {FLOW % ('shop', '')}"
BEFORE = f"{CONNECTIONS}\nflows:\n  {A}\n  {B}\n"


def told(folder: Path, after: str, before: str = BEFORE) -> Difference:
    return difference(settings_of(before, folder), settings_of(after, folder))


CHANGES = {
    "nothing": (lambda text: text, Difference()),
    "a comment": (lambda text: f"# new\n{text}", Difference()),
    "a flow": (lambda text: text.replace("path: /x", "path: /y", 1), Difference(changed=("a",), is_any=True)),
    "a default of null": (
        lambda text: text.replace("source_field: b", "source_field: b, default: null", 1),
        Difference(changed=("a",), is_any=True),
    ),
    "a connection": (lambda text: text.replace("s.example", "t.example"), Difference(changed=("b",), is_any=True)),
    "a secret": (lambda text: text.replace("bearer: one", "bearer: two"), Difference(changed=("a",), is_any=True)),
    "a flow more": (lambda text: text + f"  c: {FLOW % ('crm', '')}\n", Difference(added=("c",), is_any=True)),
    "a flow less": (lambda text: text.replace(f"  {A}\n", ""), Difference(removed=("a",), is_any=True)),
    "another order": (lambda text: text.replace(f"  {A}\n", "") + f"  {A}\n", Difference()),
    "the inbox": (lambda text: f"{text}inbox: {{concurrency: 4}}", Difference(changed=("a", "b"), is_any=True)),
    "how long is remembered": (
        lambda text: f"{text}inbox: {{queue_life: 40d}}",
        Difference(changed=("a", "b"), needs_restart=("inbox.queue_life",), is_any=True),
    ),
    "what is fixed": (
        lambda text: f"{text}http: {{port: 1}}\nrelay: {{lanes: 2, claim_check: {{above: 1MiB}}}}\ndrain: 3s",
        Difference(
            needs_restart=("relay.lanes", "relay.claim_check.above", "http.port", "drain"),
            is_any=True,
        ),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_told_by_flow_and_by_what_needs_a_restart(name: str, tmp_path: Path) -> None:
    change, expected = CHANGES[name]
    assert told(tmp_path, change(BEFORE)) == expected


def test_the_hash_differs_with_settings_and_not_with_secrets(tmp_path: Path) -> None:
    one = settings_hash(settings_of(BEFORE, tmp_path))
    assert settings_hash(settings_of(BEFORE.replace("bearer: one", "bearer: two"), tmp_path)) == one
    assert settings_hash(settings_of(BEFORE.replace("/x", "/y"), tmp_path)) != one


def test_the_hash_differs_with_what_a_value_table_says_and_not_with_the_order_of_flows(tmp_path: Path) -> None:
    def hash_of(text: str, rows: str) -> str:
        (tmp_path / "t.csv").write_text(f"k,v\n{rows}")
        return settings_hash(settings_of(text, tmp_path))

    table = "source_field: b, transform: [{table: {file: t.csv, key: k, value: v}}]"
    text = BEFORE.replace("source_field: b", table)
    one = hash_of(text, "x,1\ny,2\n")
    assert hash_of(text, "y,2\nx,1\n") == one
    *above, first, second = text.splitlines()
    assert hash_of("\n".join((*above, second, first)), "x,1\ny,2\n") == one
    assert hash_of(text, "x,1\ny,3\n") != one


class Process:
    """A reloader over real files, and what it says and takes up."""

    def __init__(self, folder: Path, check: Callable[[Settings], None] = lambda _: None) -> None:
        self.file = folder / "outbox.yaml"
        self.file.write_text("drain: 20s\nreload: {check_every: 1ms}\n" + BEFORE, encoding="utf-8")
        self.reports: list[Lifecycle] = []
        self.taken: list[Difference] = []
        self.source = SettingsSource(self.file, URLS, ADAPTERS, check)
        self.reloader = Reloader(self.source, self.source.read(), self._take_up, self.reports.append)

    async def _take_up(self, _settings: Settings, change: Difference, _pulse: Pulse) -> None:
        self.taken.append(change)
        if change.removed:
            raise Misconfigured("flows: none is left", "stop this process")

    def put(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    async def until_reported(self, reports: int) -> None:
        """Run it until it has said so much."""
        stop = Stop()
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(self.reloader.run(stop, Pulse()))
            while len(self.reports) < reports:
                await stop.pause(0.001)
            stop.set()


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


async def test_a_file_that_is_being_written_is_not_read_before_two_looks_are_alike(process: Process) -> None:
    looks = [await process.reloader._has_changed() for _ in range(3)]
    process.put("flows:")
    looks.append(await process.reloader._has_changed())
    process.put("flows: # not yet")
    looks.append(await process.reloader._has_changed())
    process.put(BEFORE)
    looks += [await process.reloader._has_changed(), await process.reloader._has_changed()]
    assert looks == [False, False, False, False, False, False, True]


async def test_what_is_refused_is_told_once_and_read_again_when_it_changes(process: Process) -> None:
    text = process.file.read_text(encoding="utf-8")
    process.put(text.replace("/x", "/y").replace("drain", "darin"))
    await process.until_reported(1)
    assert [await process.reloader._has_changed() for _ in range(3)] == [False, False, False]
    process.put(text.replace("/x", "/y"))
    await process.until_reported(2)
    refused, in_effect = process.reports
    assert isinstance(refused, SettingsRefused)
    assert "darin: unknown key; did you mean 'drain'?" in refused.reason
    assert isinstance(in_effect, SettingsInEffect)
    assert in_effect.settings_hash != refused.settings_hash
    assert process.taken == [Difference(changed=("a", "b"), is_any=True)]


async def test_what_cannot_be_taken_up_is_refused_and_those_before_stay(process: Process) -> None:
    text = process.file.read_text(encoding="utf-8")
    process.put(text.replace(f"  {A}\n", ""))
    await process.until_reported(1)
    process.put(text)
    await process.until_reported(2)
    assert [type(report) for report in process.reports] == [SettingsRefused, SettingsUnchanged]


async def test_what_was_asked_for_before_anybody_could_hear_it_is_done(process: Process) -> None:
    process.source.ask()
    await process.until_reported(1)
    assert [type(report) for report in process.reports] == [SettingsUnchanged]


async def test_a_pipe_is_read_once_and_refused_when_it_would_have_to_be_read_again(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.file.unlink()
    process.file.symlink_to("/dev/null")
    process.source.ask()
    await process.until_reported(1)
    (refused,) = process.reports
    assert isinstance(refused, SettingsRefused)
    assert "it is no regular file" in refused.reason


def test_the_target_of_a_connection_that_stays_is_kept_with_its_pool_and_its_login(tmp_path: Path) -> None:
    before = targets_of(settings_of(BEFORE, tmp_path), {})
    after = targets_of(settings_of(BEFORE.replace("bearer: one", "bearer: two"), tmp_path), before)
    assert after["shop"] is before["shop"]
    assert after["crm"] is not before["crm"]


async def test_what_a_removed_flow_needed_does_not_make_the_process_less_ready() -> None:
    admin = AdminServer("127.0.0.1", 0, Metrics(lanes=(), flows=()))
    admin.needs(lambda: False, "messages of a wait")
    admin.needs(lambda: False, "messages of b wait")
    admin.needs_no_more("messages of a wait")
    answer = await admin._readyz(make_mocked_request("GET", "/readyz"))
    assert json.loads(answer.text or "") == {"is_ready": False, "reasons": ["messages of b wait"], "notices": []}
    admin.needs(lambda: True, "messages of b wait")
    assert (await admin._readyz(make_mocked_request("GET", "/readyz"))).status == 200


def test_a_flow_that_comes_later_has_its_series_from_the_start_and_one_that_goes_holds_no_lane() -> None:
    metrics = Metrics(lanes=(), flows=())
    assert b'flow="late"' not in metrics.exposition()
    metrics(FlowStarted("late"))
    metrics(LanesChanged("late", held=16, fair_share=16, taken=16, in_doubt=0))
    shown = metrics.exposition().decode()
    assert 'inbox_accepted_messages_total{flow="late"} 0.0' in shown
    assert 'inbox_lanes_held{flow="late"} 16.0' in shown
    metrics(FlowStopped("late", is_removed=True, is_drained=True))
    assert 'inbox_lanes_held{flow="late"} 0.0' in metrics.exposition().decode()


def test_metrics_tell_the_settings_in_effect_and_whether_newer_ones_are_refused() -> None:
    metrics = Metrics(lanes=(), flows=())
    for event in (SettingsInEffect("one"), SettingsInEffect("two"), SettingsRefused("two", "wrong")):
        metrics(event)
    shown = metrics.exposition().decode()
    assert 'outbox_config_info{hash="two"} 1.0' in shown
    assert 'hash="one"' not in shown
    assert "outbox_config_last_reload_successful 0.0" in shown
    assert 'outbox_config_reloads_total{result="applied"} 1.0' in shown
    metrics(SettingsUnchanged("two"))
    assert "outbox_config_last_reload_successful 1.0" in metrics.exposition().decode()
