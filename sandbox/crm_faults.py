"""What goes wrong in the CRM on request: the kinds of faults, and which one a request meets."""

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Fault(StrEnum):
    """One thing that goes wrong with one request; the name says whether the effect happens."""

    SLOW = "slow"
    """``slow_ms`` pass before the effect."""
    ERROR_500 = "error_500"
    """500 before the effect."""
    ERROR_500_AFTER_EFFECT = "error_500_after_effect"
    """The effect happens, the answer says that it did not."""
    THROTTLE_429 = "throttle_429"
    """429 with ``Retry-After``, before the effect."""
    UNAVAILABLE_503 = "unavailable_503"
    """503 with ``Retry-After``, before the effect."""
    REJECT_422 = "reject_422"
    """A permanent refusal of this record, before the effect."""
    DROP_BEFORE_EFFECT = "drop_before_effect"
    """The connection is closed without an answer."""
    DROP_AFTER_EFFECT = "drop_after_effect"
    """The effect happens, then the connection is closed without an answer."""
    HANG_AFTER_EFFECT = "hang_after_effect"
    """The effect happens, no answer comes for ``hang_seconds``, then the connection is closed."""
    HTML_200 = "html_200"
    """200 with a maintenance page, before the effect."""
    GARBAGE_200 = "garbage_200"
    """The effect happens, the answer is 200 with half a JSON document."""
    HOLD_BEFORE_EFFECT = "hold_before_effect"
    """The request waits at the gate; the effect happens at its release, even if the client has gone."""
    HOLD_AFTER_EFFECT = "hold_after_effect"
    """The effect happens, the answer waits at the gate."""


AFTER_EFFECT = frozenset(
    {
        Fault.ERROR_500_AFTER_EFFECT,
        Fault.DROP_AFTER_EFFECT,
        Fault.HANG_AFTER_EFFECT,
        Fault.GARBAGE_200,
        Fault.HOLD_AFTER_EFFECT,
    }
)
"""Faults of the answer only: a lookup has no effect, so it never meets one."""


class Script(BaseModel):
    """A fault for one order, before any random one; without ``times`` it never ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_ref: str
    fault: Fault
    times: Annotated[int, Field(ge=1)] | None = None


class Faults(BaseModel):
    """Everything that goes wrong. The default is an honest, prompt CRM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shares: Mapping[Fault, Annotated[float, Field(ge=0, le=1)]] = {}
    """The share of requests that meets a fault; a request meets one at most."""
    scripts: tuple[Script, ...] = ()
    seed: int = 1
    on_lookups: bool = False
    """Whether the shares of faults before the effect also hit ``GET /deals``."""
    latency_ms: Annotated[int, Field(ge=0)] = 0
    """Added to every request, before the effect."""
    slow_ms: Annotated[int, Field(ge=0)] = 500
    retry_after_seconds: Annotated[int, Field(ge=0)] = 1
    hang_seconds: Annotated[float, Field(ge=0)] = 30.0
    refuse_token: bool = False
    """Refuse the right token too, as if it had expired."""
    login_page: bool = False
    """Refuse a token with 200 and an HTML login page instead of 401."""

    @model_validator(mode="after")
    def _shares_fit_into_one(self) -> Self:
        total = sum(self.shares.values())
        # Shares such as 0.1 have no exact binary value, so their sum may be a little above 1.
        if total > 1 + 1e-9:
            raise ValueError(f"shares add up to {total:g}, must be at most 1")
        return self


class FaultPlan:
    """Picks the fault of each request, in the same order for the same seed."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._dice = random.Random(faults.seed)
        self._scripts: dict[str, list[_RunningScript]] = {}
        for script in faults.scripts:
            self.add(script)

    def add(self, script: Script) -> None:
        """Add a script behind those that the order already has."""
        self._scripts.setdefault(script.order_ref, []).append(_RunningScript(script))

    def pick(self, order_ref: str) -> Fault | None:
        """Pick the fault for a request that would create a deal."""
        return self._scripted(order_ref) or self._drawn()

    def pick_for_lookup(self) -> Fault | None:
        """Pick the fault for a lookup."""
        if not self.faults.on_lookups:
            return None
        fault = self._drawn()
        return None if fault in AFTER_EFFECT else fault

    def _scripted(self, order_ref: str) -> Fault | None:
        for script in self._scripts.get(order_ref, ()):
            if script.take():
                return script.fault
        return None

    def _drawn(self) -> Fault | None:
        draw = self._dice.random()
        for fault, share in self.faults.shares.items():
            if draw < share:
                return fault
            draw -= share
        return None


class _RunningScript:
    def __init__(self, script: Script) -> None:
        self.fault = script.fault
        self._times_left = script.times

    def take(self) -> bool:
        if self._times_left is None:
            return True
        if self._times_left == 0:
            return False
        self._times_left -= 1
        return True
