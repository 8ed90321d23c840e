"""What may happen to a flow, as values that a random walk draws."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hypothesis import strategies as st

from outbox.model.dead_letters import Action
from tests.kit.model_adapter import LAST_EDITION, SETTLE_SECONDS
from tests.kit.model_replica import LEASE_SECONDS
from tests.kit.model_target import WINDOW_SECONDS, Nature, Trouble

STEPS = ("hold", "fetch", "begin", "call", "settle")


class End(StrEnum):
    """What becomes of a replica that has come to some step."""

    NOTHING = "nothing"
    KILLED = "killed"
    RESTARTED = "restarted"
    FROZEN = "frozen"
    THAWED = "thawed"


@dataclass(frozen=True)
class Works:
    """Events arrive, and a replica works on what is due until some step, where it ends.

    ``held_back``: which of the events arrives later. ``seconds``: how long it is frozen, if it is.
    """

    events: list[tuple[str | None, Nature]]
    held_back: int | None
    which: int
    last: str
    trouble: Trouble
    then: End
    seconds: float


@dataclass(frozen=True)
class GoesOn:
    """A replica goes on with what it has in memory, however old that is."""

    which: int
    trouble: Trouble


@dataclass(frozen=True)
class TimePasses:
    """For the database and the target."""

    seconds: float


@dataclass(frozen=True)
class ComesAgain:
    """What was held back arrives; if nothing was, what had arrived comes again. ``numbers``: which of it."""

    numbers: list[int]


@dataclass(frozen=True)
class MappingChanges:
    """The flow has another one from now on."""

    edition: int


@dataclass(frozen=True)
class LinkChanges:
    """The id that some events wait for is known from now on, or no longer."""

    is_linked: bool


@dataclass(frozen=True)
class TargetGoesOn:
    """It does what it has held."""


@dataclass(frozen=True)
class LanesReleased:
    """A replica gives its idle lanes back."""

    which: int


@dataclass(frozen=True)
class PersonDecides:
    """About some of what waits for a person. ``numbers``: which of it."""

    action: Action
    numbers: list[int]


@dataclass(frozen=True)
class CopiesMovedBack:
    """Copies of dead letters come to the flow's queue. ``numbers``: which of them."""

    numbers: list[int]


Move = (
    Works
    | GoesOn
    | TimePasses
    | ComesAgain
    | MappingChanges
    | LinkChanges
    | TargetGoesOn
    | LanesReleased
    | PersonDecides
    | CopiesMovedBack
)

_replicas = st.integers(0, 1)
_numbers = st.lists(st.integers(0, 99), min_size=1, max_size=3)
_actions = st.sampled_from(
    [Action.RETRY, Action.RETRY, Action.EDIT, Action.SKIP, Action.DISCARD, Action.HAPPENED, Action.NOT_HAPPENED]
)
_times = st.sampled_from([LEASE_SECONDS + 1, SETTLE_SECONDS + 1, WINDOW_SECONDS - 99, WINDOW_SECONDS + 1])
_troubles = st.sampled_from([Trouble.NO_TROUBLE] * 4 + list(Trouble))
_natures = st.sampled_from([Nature.FINE] * 8 + list(Nature))
_works = st.builds(
    Works,
    events=st.lists(st.tuples(st.sampled_from(["k1", "k2", None]), _natures), max_size=4),
    held_back=st.none() | st.integers(0, 3),
    which=_replicas,
    last=st.sampled_from([*STEPS[1:], "call", "settle"]),
    trouble=_troubles,
    then=st.sampled_from([End.NOTHING, *End]),
    seconds=_times,
)
_others = (
    st.builds(GoesOn, _replicas, _troubles),
    st.builds(TimePasses, _times),
    st.builds(ComesAgain, _numbers),
    st.builds(MappingChanges, st.integers(0, LAST_EDITION)),
    st.builds(LinkChanges, st.booleans()),
    st.builds(TargetGoesOn),
    st.builds(LanesReleased, _replicas),
    st.builds(PersonDecides, _actions, _numbers),
    st.builds(CopiesMovedBack, _numbers),
)
MOVES: st.SearchStrategy[Move] = st.sampled_from([_works] * len(_others) + list(_others)).flatmap(lambda moves: moves)
