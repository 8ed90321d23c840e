"""Who leads which lane: every process decides for itself, and together they come to rest with fair shares."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from outbox.model.lanes import Lane, Member, decide, fair_shares, lanes_of

MEMBERS = st.lists(
    st.builds(Member, st.text("abcdef", min_size=1, max_size=3), st.integers(0, 20), st.booleans()),
    min_size=1,
    max_size=8,
    unique_by=lambda member: member.name,
)


@dataclass
class World:
    """Processes that look one after the other, each at what the others have told at their last look."""

    lanes: int
    held: dict[str, list[int]] = field(default_factory=dict)
    told: dict[str, Member] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    moves: int = 0

    def join(self, name: str) -> None:
        self.held[name] = []
        self.told[name] = Member(name, 0)

    def leave(self, name: str) -> None:
        del self.held[name], self.told[name]

    def free(self) -> list[int]:
        led = {lane for lanes in self.held.values() for lane in lanes}
        return [lane for lane in range(self.lanes) if lane not in led]

    def look(self, name: str) -> None:
        self.told[name] = Member(name, len(self.held[name]), name not in self.closed)
        move = decide(name, self.lanes, list(self.told.values()), self.free())
        self.moves += len(move.take) + move.give_up
        assert set(move.take) <= set(self.free()), "it would take what somebody leads"
        self.held[name] += move.take
        if move.give_up:
            assert not self.free(), "a lane is given up while there are free ones"
            del self.held[name][-move.give_up :]

    def settle(self, chance: random.Random, *, rounds: int = 40) -> None:
        for _ in range(rounds):
            for name in chance.sample(sorted(self.held), len(self.held)):
                self.look(name)


@given(st.integers(1, 64), MEMBERS)
def test_fair_shares_cover_every_lane_and_differ_by_one_at_most(lanes: int, members: list[Member]) -> None:
    shares = fair_shares(lanes, members)
    takers = [member for member in members if member.is_open] or members
    kept = sum(member.held for member in members if member not in takers)
    assert sum(shares.values()) == max(lanes, kept) if kept > lanes else sum(shares.values()) == lanes
    counts = [shares[member.name] for member in takers]
    assert max(counts) - min(counts) <= 1


@given(st.integers(1, 64), st.lists(st.sampled_from(["join", "leave", "close", "open"]), max_size=12), st.randoms())
def test_processes_that_come_go_and_rest_come_to_fair_shares_and_then_nothing_moves(
    lanes: int, happenings: list[str], chance: random.Random
) -> None:
    world = World(lanes)
    world.join("p0")
    for number, happening in enumerate(happenings, start=1):
        names = sorted(world.held)
        if happening == "join":
            world.join(f"p{number}")
        elif happening == "leave" and len(names) > 1:
            world.leave(chance.choice(names))
        elif happening == "close":
            world.closed.add(chance.choice(names))
        elif happening == "open":
            world.closed.clear()
        for name in chance.sample(sorted(world.held), chance.randint(0, len(world.held))):
            world.look(name)
    world.closed.clear()
    world.settle(chance)
    assert not world.free(), "a lane is left over"
    counts = [len(held) for held in world.held.values()]
    assert max(counts) - min(counts) <= 1
    before = world.moves
    world.settle(chance, rounds=3)
    assert world.moves == before, "lanes move although nothing happens"


def test_a_lane_that_somebody_should_take_and_does_not_is_taken_by_anybody() -> None:
    members = [Member("me", 2), Member("sick", 0)]
    assert decide("me", 4, members, [2, 3]).take == ()
    assert decide("me", 4, members, [2, 3], {2, 3}).take == (2,)


def test_who_takes_no_more_is_left_what_it_holds_and_nobody_gives_lanes_up_for_it() -> None:
    members = [Member("me", 3), Member("resting", 1, is_open=False)]
    assert decide("me", 4, members, []).give_up == 0
    assert decide("me", 4, [Member("me", 3), Member("other", 1)], []).give_up == 1


def test_lanes_are_named_after_their_number_and_one_lane_is_the_stream_itself() -> None:
    assert Lane().stream == "outbox.event"
    assert Lane().service == "relay"
    assert [lane.stream for lane in lanes_of("outbox.event", 2)] == ["outbox.event:0/2", "outbox.event:1/2"]
