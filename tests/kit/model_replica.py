"""One process that applies deliveries, step by step: between any two of them it may stand still, or die."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from outbox.inbox.call import Answer, not_sent, result_of
from outbox.inbox.circuit import Told, tell_circuit
from outbox.inbox.decide import Ask, Call, decide
from outbox.inbox.lanes import Ownership
from outbox.model.awaited import Look, LookAgain, Waiting, given_up_reason, pause_seconds
from outbox.model.backoff import Backoff
from outbox.model.circuit import CircuitPolicy, sign_of
from outbox.model.delivery import RetryPolicy, State
from outbox.model.inbox import CallKind, Parking, Result
from outbox.model.outcome import Receipt
from outbox.postgres.inbox_store import InboxSession
from tests.kit.model_adapter import ModelAdapter, ModelMapping
from tests.kit.model_target import ModelTarget, Trouble

# Without pauses between tries: time passes only when the test says so.
POLICY = RetryPolicy(attempts=4, backoff=Backoff(0.0, 0.0))
LEASE_SECONDS = 30.0
CIRCUIT = CircuitPolicy(failures=3, backoff=Backoff(5.0, 20.0))
# What is begun and has not left after this time does not leave any more.
LEAVES_WITHIN_SECONDS = 20.0
_WANTED = 3
_LOOKS_PER_NEWEST = 3


@dataclass
class Site:
    """What the replicas of one flow share. ``now`` is seconds since the beginning."""

    flow: str
    target: ModelTarget
    adapter: ModelAdapter
    mapping: ModelMapping = field(default_factory=ModelMapping)

    @property
    def now(self) -> float:
        return self.target.now


@dataclass
class _Begun:
    call: Call
    attempt: int
    decided_at: float


@dataclass
class Replica:
    """Its memory. The steps are those of `outbox.inbox.apply`, in the same order."""

    name: str
    session: InboxSession
    site: Site
    decided: list[Call | Parking | Waiting] = field(default_factory=list)
    looked_at: list[Look] = field(default_factory=list)
    decided_at: float = 0.0
    begun: list[_Begun] = field(default_factory=list)
    ended: list[tuple[Result, Told]] = field(default_factory=list)
    looks: int = 0

    def __post_init__(self) -> None:
        self.ownership = Ownership(self.name)
        self.ownership.renew()

    async def hold(self) -> None:
        await self.session.hold_lanes(self.ownership.owner, LEASE_SECONDS)

    async def release(self) -> None:
        held = await self.session.hold_lanes(self.ownership.owner, LEASE_SECONDS)
        busy = {begun.call.due.lane for begun in self.begun}
        await self.session.release_lanes(self.ownership.owner, [lane for lane in held.epochs if lane not in busy])

    async def fetch(self) -> None:
        self.looks += 1
        self.looked_at = await self.session.waits(self.ownership.owner, _WANTED)
        due = await self.session.fetch(
            self.ownership.owner, self._in_hand(), _WANTED, newest_first=self.looks % _LOOKS_PER_NEWEST == 0
        )
        site = self.site
        self.decided = [decide(site.flow, one, site.mapping, site.adapter) for one in due]
        self.decided_at = site.now

    async def begin(self) -> None:
        decided, self.decided = self.decided, []
        looked_at, self.looked_at = self.looked_at, []
        over = [look for look in looked_at if look.missing and look.left_seconds <= 0]
        again = [_again(look) for look in looked_at if look not in over]
        parkings = [one for one in decided if isinstance(one, Parking)]
        parkings += [Parking(look.id, look.epoch, State.DEAD, given_up_reason(look), "mapping") for look in over]
        waitings = [one for one in decided if isinstance(one, Waiting)]
        calls = [one for one in decided if not isinstance(one, Parking | Waiting)]
        if again:
            await self.session.look_again(self.ownership.owner, again)
        if waitings:
            await self.session.wait(self.ownership.owner, waitings)
        if parkings:
            await self.session.park(self.ownership.owner, parkings)
        if calls:
            attempts = await self.session.begin(self.ownership.owner, [call.beginning() for call in calls])
            self.begun += [
                _Begun(call, attempts[call.due.id], self.decided_at) for call in calls if call.due.id in attempts
            ]

    async def call(self, trouble: Trouble) -> None:
        """Let the oldest call leave and come back; the others have no trouble."""
        begun, self.begun = self.begun, []
        for one in begun:
            answer = self._answer(one, trouble)
            result = result_of(one.call, answer, attempt=one.attempt, policy=POLICY, jitter=0.5)
            sign = sign_of(answer.outcome if isinstance(answer, Receipt) else answer.answer)
            self.ended.append((result, Told(result.id, sign, one.call.due.is_watched)))
            trouble = Trouble.NO_TROUBLE

    async def settle(self) -> None:
        ended, self.ended = self.ended, []
        if ended:
            await self.session.settle(self.ownership.owner, [result for result, _ in ended])
            await tell_circuit(self.session, [told for _, told in ended], lambda _: None)

    async def begin_again(self, *, is_killed: bool) -> None:
        """Forget everything. A process that lives on lets the leases of its earlier run end."""
        self.decided, self.looked_at, self.begun, self.ended = [], [], [], []
        self.ownership.renew()
        if is_killed:
            self.ownership.former_owner = ""
        else:
            await self.session.abandon_lanes(self.ownership.former_owner)

    def _in_hand(self) -> Collection[int]:
        return [begun.call.due.id for begun in self.begun] + [result.id for result, _ in self.ended]

    def _answer(self, begun: _Begun, trouble: Trouble) -> Answer:
        target, call = self.site.target, begun.call
        if self.site.now - begun.decided_at > LEAVES_WITHIN_SECONDS:
            return not_sent([call], "too late to leave")[0]
        match call:
            case Ask(_, CallKind.LOOK_UP, about):
                return target.look_up(about, trouble)
            case Ask(_, _, about):
                return target.poll(about, trouble)
            case _:
                return target.send(call.request, trouble)


def _again(look: Look) -> LookAgain:
    pause = pause_seconds(look.waited_seconds, look.left_seconds) if look.missing else None
    return LookAgain(look.id, look.epoch, pause, look.reason)
