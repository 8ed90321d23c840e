"""Whatever order things happen in: one effect for each event, in sequence for its key, or one parked delivery.

Hypothesis walks at random over the real SQL functions and the real decisions: two replicas that stand still or die
between any two steps, messages that come in any order and more than once, time that passes, and a target that
loses requests, loses answers, fails, and does late what it was asked for. `make soak` walks for longer.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, ClassVar, Literal

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from outbox.model.delivery import OrderPolicy
from outbox.model.flow_policy import FlowPolicy
from outbox.postgres.connection import Connection, connect
from outbox.postgres.inbox_store import InboxSession
from tests.kit.database import fresh_database
from tests.kit.model_adapter import LAST_EDITION, SETTLE_SECONDS, ModelAdapter
from tests.kit.model_judge import complaints, final_complaints
from tests.kit.model_replica import CIRCUIT, LEASE_SECONDS, Replica, Site
from tests.kit.model_target import WINDOW_SECONDS, ModelTarget, Nature, Style, Trouble
from tests.kit.model_wire import Wire
from tests.kit.shared_servers import Addresses

_LANES = 2
_STEPS = ("hold", "fetch", "begin", "call", "settle")
_LOOK = """
    select message_id, sequence, key, state, due_at is not null as is_due, is_passed, reason, reason_class,
           failures, attempt
      from inbox.delivery where flow = $1
"""
_PASS = """
    update inbox.delivery set due_at = due_at - {time}, began_at = began_at - {time},
           first_sent_at = first_sent_at - {time}, last_sent_at = last_sent_at - {time}
     where flow = '{flow}';
    update inbox.lane set leased_until = leased_until - {time} where flow = '{flow}';
    update inbox.circuit set until = until - {time}, throttled_until = throttled_until - {time},
           changed_at = changed_at - {time}
     where flow = '{flow}';
    update inbox.consumer set seen_until = seen_until - {time} where flow = '{flow}';
"""
# Each turn lets time pass, so that after these the longest wait is over.
_TURNS_IN_VAIN = 5

_replicas = st.integers(0, 1)
_steps = st.sampled_from([*_STEPS[1:], "settle"])
_times = st.sampled_from([LEASE_SECONDS + 1, SETTLE_SECONDS + 1, WINDOW_SECONDS - 99, WINDOW_SECONDS + 1])
_troubles = st.sampled_from([Trouble.NO_TROUBLE] * 4 + list(Trouble))
_natures = st.sampled_from([Nature.FINE] * 8 + list(Nature))
_events = st.lists(st.tuples(st.sampled_from(["k1", "k2", None]), _natures), min_size=1, max_size=4)


class World:
    """A database of its own, and the connections to it; used again by all examples."""

    def __init__(self, runner: asyncio.Runner, connections: list[Connection]) -> None:
        self.runner = runner
        self.connections = connections
        self.flows = itertools.count(1)

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the step returns
        return self.runner.run(step)


class InboxMachine(RuleBasedStateMachine):
    """One flow, its target, and what the wire brings."""

    world: ClassVar[World]
    style: ClassVar[Style]

    @initialize(on_dead=st.sampled_from(["block", "skip"]), on_stale=st.sampled_from(["park", "skip"]))
    def begin(self, on_dead: Literal["block", "skip"], on_stale: Literal["park", "skip"]) -> None:
        world = self.world
        self.order = OrderPolicy(on_dead, on_stale)
        self.wire = Wire()
        self.site = Site(f"flow-{next(world.flows)}", ModelTarget(self.style), ModelAdapter(self.style))
        policy = FlowPolicy(self.order, CIRCUIT)
        sessions = [InboxSession(one, "the server", self.site.flow, policy) for one in world.connections]
        self.acceptor = sessions[0]
        self.replicas = [Replica(f"r{number}", session, self.site) for number, session in enumerate(sessions[1:])]
        world.run(self.acceptor.register(_LANES))
        world.run(self.acceptor.accept(self.wire.next([("k1", Nature.FINE)] * 2, held_back=None)))

    @rule(events=_events, held_back=st.none() | st.integers(0, 3))
    def events_arrive(self, events: list[tuple[str | None, Nature]], held_back: int | None) -> None:
        self.world.run(self.acceptor.accept(self.wire.next(events, held_back=held_back)))

    @rule(data=st.data())
    def something_arrives_late_or_again(self, data: st.DataObject) -> None:
        late = self.wire.late()
        if self.wire.arrived and not late:
            late = data.draw(st.lists(st.sampled_from(self.wire.arrived), min_size=1, max_size=3))
        self.world.run(self.acceptor.accept(late))

    @rule(which=_replicas, turns=st.integers(1, 3), last=_steps, trouble=_troubles)
    def a_replica_works(self, which: int, turns: int, last: str, trouble: Trouble) -> None:
        """Until some step, where it stands still."""
        for turn in range(1, turns + 1):
            for step in _STEPS if turn < turns else _STEPS[: _STEPS.index(last) + 1]:
                self._step(self.replicas[which], step, trouble)

    @rule(which=_replicas, trouble=_troubles)
    def a_replica_goes_on(self, which: int, trouble: Trouble) -> None:
        """With what it has in memory, however old that is."""
        for step in ("begin", "call", "settle"):
            self._step(self.replicas[which], step, trouble)

    @rule(which=_replicas, last=_steps, trouble=_troubles, seconds=_times, turns=st.integers(1, 3), thaws=st.booleans())
    def a_replica_is_frozen(
        self, which: int, last: str, trouble: Trouble, seconds: float, turns: int, *, thaws: bool
    ) -> None:
        """The other one takes over what it had begun, and then it may go on as if nothing had happened."""
        self.a_replica_works(which, 1, last, trouble)
        self._pass(seconds)
        self.a_replica_works(1 - which, turns, "settle", Trouble.NO_TROUBLE)
        if thaws:
            self.a_replica_goes_on(which, Trouble.NO_TROUBLE)

    @rule(which=_replicas, is_killed=st.booleans())
    def a_replica_dies(self, which: int, *, is_killed: bool) -> None:
        self.world.run(self.replicas[which].begin_again(is_killed=is_killed))

    @rule(seconds=_times)
    def time_passes(self, seconds: float) -> None:
        self._pass(seconds)

    @rule(which=_replicas, edition=st.none() | st.integers(0, LAST_EDITION), goes_on=st.booleans())
    def something_else_happens(self, which: int, edition: int | None, *, goes_on: bool) -> None:
        """The mapping is changed, the target goes on with what it holds, or a replica gives its idle lanes back."""
        if edition is not None:
            self.site.mapping.edition = edition
        elif goes_on:
            self.site.target.go_on()
        else:
            self.world.run(self.replicas[which].release())

    @invariant()
    def every_delivery_is_as_the_target_says(self) -> None:
        found = complaints(self._rows(), self.site.target, self.wire)
        assert not found, found

    def teardown(self) -> None:
        """Everything works again, and one replica works until nothing is due."""
        if not hasattr(self, "site"):
            return
        self.site.mapping.edition = 0
        self.world.run(self.acceptor.accept(self.wire.late()))
        replica = self.replicas[0]
        self.world.run(replica.begin_again(is_killed=True))
        turns_in_vain, before = 0, self._rows()
        while turns_in_vain < _TURNS_IN_VAIN and any(row["is_due"] or row["state"] == "applying" for row in before):
            for step in _STEPS:
                self._step(replica, step, Trouble.NO_TROUBLE)
            self.every_delivery_is_as_the_target_says()
            after = self._rows()
            turns_in_vain, before = turns_in_vain + 1 if after == before else 0, after
            self._pass(LEASE_SECONDS + 1)
        self.site.target.go_on()
        self.every_delivery_is_as_the_target_says()
        found = final_complaints(self._rows(), self.site.target, self.wire, self.order)
        assert not found, found

    def _step(self, replica: Replica, name: str, trouble: Trouble) -> None:
        self.world.run(replica.call(trouble) if name == "call" else getattr(replica, name)())

    def _pass(self, seconds: float) -> None:
        statements = _PASS.format(time=f"interval '{seconds} s'", flow=self.site.flow)
        self.world.run(self.world.connections[0].execute(statements))
        self.site.target.advance(seconds)

    def _rows(self) -> list[Any]:
        rows: list[Any] = self.world.run(self.world.connections[0].fetch(_LOOK, self.site.flow))
        return rows


def _phases_left_out() -> set[hypothesis.Phase]:
    # An explanation takes longer than everything else; and who only wants to know whether it fails needs no short walk.
    left_out = {hypothesis.Phase.explain}
    return left_out if os.environ.get("INBOX_SHRINKS") != "no" else left_out | {hypothesis.Phase.shrink}


@contextmanager
def _world(servers: Addresses) -> Iterator[World]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def open_all() -> list[Connection]:
            database = await stack.enter_async_context(fresh_database(servers.pg_url))
            return [await stack.enter_async_context(connect(database.server)) for _ in range(3)]

        try:
            yield World(runner, runner.run(open_all()))
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize("style", list(Style))
@pytest.mark.parametrize(
    "examples", [8, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])], ids=["few", "many"]
)
def test_whatever_happens_each_event_takes_effect_once_and_in_order(
    servers: Addresses, style: Style, examples: int
) -> None:
    settings = hypothesis.settings(
        max_examples=int(os.environ.get("INBOX_EXAMPLES", examples)),
        stateful_step_count=20,
        deadline=None,
        print_blob=True,
        phases=[phase for phase in hypothesis.Phase if phase not in _phases_left_out()],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with _world(servers) as world:

        class Walk(InboxMachine):
            pass

        Walk.world, Walk.style = world, style
        run_state_machine_as_test(Walk, settings=settings)
