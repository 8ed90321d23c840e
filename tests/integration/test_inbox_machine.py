"""Whatever order things happen in: one effect for each event, in sequence for its key, or one parked delivery.

Hypothesis walks at random over the real SQL functions and the real decisions: two replicas that stand still or die
between any two steps, messages that come in any order and more than once, people who decide and who move copies of dead
letters, time that passes, and a target that loses requests, loses answers, fails, and does late what it was asked
for. `make soak` walks for longer.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any, ClassVar, Literal

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from outbox.model.delivery import OrderPolicy
from outbox.model.flow_policy import FlowPolicy
from outbox.postgres.connection import Connection, connect
from outbox.postgres.dead_letters import DeadLetterSession
from outbox.postgres.inbox_store import InboxSession
from tests.kit.database import fresh_database
from tests.kit.model_adapter import ModelAdapter, ModelMapping
from tests.kit.model_judge import complaints, final_complaints
from tests.kit.model_moves import (
    MOVES,
    STEPS,
    ComesAgain,
    CopiesMovedBack,
    End,
    GoesOn,
    LanesReleased,
    LinkChanges,
    MappingChanges,
    Move,
    PersonDecides,
    TargetGoesOn,
    TimePasses,
    Works,
)
from tests.kit.model_person import Person
from tests.kit.model_replica import CIRCUIT, LEASE_SECONDS, Replica, Site
from tests.kit.model_target import ModelTarget, Nature, Style, Trouble
from tests.kit.model_wire import Wire
from tests.kit.shared_servers import Addresses

_LANES = 2
_FEW = 8
_LOOK = """
    select id, message_id, sequence, key, state, coalesce(due_at, look_at) is not null as is_due, is_passed, reason,
           reason_class, failures, attempt, deaths,
           exists (select from inbox.resolution r where r.delivery_id = d.id and r.to_state = d.state) as is_resolved
      from inbox.delivery d where flow = $1 order by id
"""
_PASS = """
    update inbox.delivery set due_at = due_at - {time}, began_at = began_at - {time},
           first_sent_at = first_sent_at - {time}, last_sent_at = last_sent_at - {time}, look_at = look_at - {time},
           waits_since = waits_since - {time}, waits_until = waits_until - {time}
     where flow = '{flow}';
    update inbox.lane set leased_until = leased_until - {time} where flow = '{flow}';
    update inbox.circuit set until = until - {time}, throttled_until = throttled_until - {time},
           changed_at = changed_at - {time}
     where flow = '{flow}';
    update inbox.consumer set seen_until = seen_until - {time} where flow = '{flow}';
"""
_LINK = """
insert into xref.link (entity, system, canonical_key, external_id, source, linked_by)
values ('customer', 'crm', $1, $1, 'person', 'ann') on conflict do nothing
"""
_UNLINK = "delete from xref.link where canonical_key = $1"
# Each turn lets time pass, so that after these the longest wait is over.
_TURNS_IN_VAIN = 5


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
        flow = f"flow-{next(world.flows)}"
        self.site = Site(flow, ModelTarget(self.style), ModelAdapter(self.style), ModelMapping(key=flow))
        policy = FlowPolicy(self.order, CIRCUIT)
        sessions = [InboxSession(one, "the server", self.site.flow, policy) for one in world.connections]
        self.acceptor = sessions[0]
        self.person = Person(DeadLetterSession(world.connections[0], "the server"), self.site.flow, self.site.target)
        self.replicas = [Replica(f"r{number}", session, self.site) for number, session in enumerate(sessions[1:])]
        world.run(self.acceptor.register(_LANES))
        # One is behind a dead one of its key from the beginning; few walks would come to that by themselves.
        events = [("k1", Nature.FINE), ("k1", Nature.FINE), ("k2", Nature.REFERRING), ("k2", Nature.UNMAPPABLE)]
        world.run(self.acceptor.accept(self.wire.next(events, held_back=2)))

    @rule(move=MOVES)
    def something_happens(self, move: Move) -> None:
        """One rule for everything: of several a walk leaves most out, and without work nothing can go wrong."""
        match move:
            case Works():
                self._works(move)
            case GoesOn(which, trouble):
                self._work(which, STEPS[2:], trouble)
            case TimePasses(seconds):
                self._pass(seconds)
            case ComesAgain(numbers):
                arrived = self.wire.arrived
                again = [arrived[number % len(arrived)] for number in numbers]
                self.world.run(self.acceptor.accept(self.wire.late() or again))
            case MappingChanges(edition):
                self.site.mapping.edition = edition
            case LinkChanges(is_linked):
                self._link(is_linked=is_linked)
            case TargetGoesOn():
                self.site.target.go_on()
            case LanesReleased(which):
                self.world.run(self.replicas[which].release())
            case PersonDecides(action, numbers):
                self.world.run(self.person.decide(action, self._rows(), numbers, self.wire))
            case CopiesMovedBack(numbers):
                copies = self.person.moved_back(self._rows(), numbers, self.wire)
                self.world.run(self.acceptor.accept(copies))

    @invariant()
    def every_delivery_is_as_the_target_says(self) -> None:
        found = complaints(self._rows(), self.site.target, self.wire)
        assert not found, found

    def teardown(self) -> None:
        """Everything works again, and one replica works until nothing is due."""
        if not hasattr(self, "site"):
            return
        self.world.run(self.acceptor.accept(self.wire.late()))
        self._link(is_linked=True)
        replica = self.replicas[0]
        self.world.run(replica.begin_again(is_killed=True))
        turns_in_vain, before = 0, self._rows()
        while turns_in_vain < _TURNS_IN_VAIN and any(row["is_due"] or row["state"] == "applying" for row in before):
            for step in STEPS:
                self._step(replica, step, Trouble.NO_TROUBLE)
            self.every_delivery_is_as_the_target_says()
            after = self._rows()
            turns_in_vain, before = turns_in_vain + 1 if after == before else 0, after
            self._pass(LEASE_SECONDS + 1)
        self.site.target.go_on()
        self.every_delivery_is_as_the_target_says()
        found = final_complaints(self._rows(), self.site.target, self.wire, self.order)
        assert not found, found

    def _works(self, move: Works) -> None:
        if move.events:
            self.world.run(self.acceptor.accept(self.wire.next(move.events, held_back=move.held_back)))
        self._work(move.which, STEPS[: STEPS.index(move.last) + 1], move.trouble)
        match move.then:
            case End.KILLED | End.RESTARTED:
                self.world.run(self.replicas[move.which].begin_again(is_killed=move.then is End.KILLED))
            case End.FROZEN | End.THAWED:
                # The other one takes over what it had begun, and then it may go on as if nothing had happened.
                self._pass(move.seconds)
                self._work(1 - move.which, STEPS, Trouble.NO_TROUBLE)
                if move.then is End.THAWED:
                    self._work(move.which, STEPS[2:], Trouble.NO_TROUBLE)
            case End.NOTHING:
                pass

    def _work(self, which: int, steps: Sequence[str], trouble: Trouble) -> None:
        for step in steps:
            self._step(self.replicas[which], step, trouble)

    def _step(self, replica: Replica, name: str, trouble: Trouble) -> None:
        self.world.run(replica.call(trouble) if name == "call" else getattr(replica, name)())

    def _link(self, *, is_linked: bool) -> None:
        self.world.run(self.world.connections[0].execute(_LINK if is_linked else _UNLINK, self.site.flow))
        self.site.mapping.is_linked = is_linked

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
    "examples",
    # Minutes only when it fails: a short walk that fails is looked for then, and tells more than a long one.
    [
        pytest.param(_FEW, marks=pytest.mark.timeout(600)),
        pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
    ids=["few", "many"],
)
def test_whatever_happens_each_event_takes_effect_once_and_in_order(
    servers: Addresses, style: Style, examples: int
) -> None:
    settings = hypothesis.settings(
        max_examples=int(os.environ.get("INBOX_EXAMPLES", examples)),
        # The few are the same each time: whoever changes something else must not be stopped by a rare walk.
        derandomize=examples == _FEW and "INBOX_EXAMPLES" not in os.environ,
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
