"""The CRM's control API for tests and the demo: faults, the gate, the clock, the evidence."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.crm_deals import DealsApi
from sandbox.crm_faults import FaultPlan, Faults, Script
from sandbox.crm_replies import problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Release(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(ge=1)] | None = None


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    advance_seconds: Annotated[float, Field(gt=0)]


class _Wait(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(ge=1)] = 1
    within_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0


@dataclass(frozen=True, slots=True)
class ControlApi:
    """Everything below ``/_``; it needs no token, because a simulation has nothing to protect."""

    deals: DealsApi

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/_faults", self._show_faults),
            web.post("/_faults", _checked(self._replace_faults)),
            web.post("/_faults/scripts", _checked(self._add_script)),
            web.get("/_gate/wait", _checked(self._wait_at_gate)),
            web.post("/_release", _checked(self._release)),
            web.post("/_clock", _checked(self._advance_clock)),
            web.get("/_ledger", self._show_ledger),
            web.get("/_ledger/wait", _checked(self._wait_for_effects)),
            web.get("/_stats", self._show_stats),
        ]

    async def _show_faults(self, _: web.Request) -> web.Response:
        return web.json_response(text=self.deals.plan.faults.model_dump_json())

    async def _replace_faults(self, request: web.Request) -> web.Response:
        self.deals.plan = FaultPlan(Faults.model_validate_json(await request.read()))
        return await self._show_faults(request)

    async def _add_script(self, request: web.Request) -> web.Response:
        script = Script.model_validate_json(await request.read())
        self.deals.plan.add(script)
        return web.json_response(text=script.model_dump_json())

    async def _wait_at_gate(self, request: web.Request) -> web.Response:
        wait = _Wait.model_validate(dict(request.query))
        await self.deals.gate.arrived(wait.count, within_seconds=wait.within_seconds)
        return web.json_response({"waiting": self.deals.gate.waiting})

    async def _release(self, request: web.Request) -> web.Response:
        release = _Release.model_validate_json(await request.read() or b"{}")
        return web.json_response({"released": self.deals.gate.release(release.count)})

    async def _advance_clock(self, request: web.Request) -> web.Response:
        advance = _Advance.model_validate_json(await request.read())
        self.deals.clock.advance(advance.advance_seconds)
        return web.json_response({"now": self.deals.clock.now().isoformat()})

    async def _show_ledger(self, _: web.Request) -> web.Response:
        return web.json_response({"lines": [asdict(line) for line in self.deals.ledger.lines]})

    async def _wait_for_effects(self, request: web.Request) -> web.Response:
        wait = _Wait.model_validate(dict(request.query))
        await self.deals.ledger.reached(wait.count, within_seconds=wait.within_seconds)
        return web.json_response({"effects": len(self.deals.ledger.lines)})

    async def _show_stats(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "effects": len(self.deals.ledger.lines),
                "waiting": self.deals.gate.waiting,
                "counts": dict(self.deals.counts),
                "faults": dict(self.deals.faults_met),
            }
        )


def _checked(handler: Handler) -> Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ValidationError as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error))
        except TimeoutError:
            return problem(HTTPStatus.REQUEST_TIMEOUT, "It did not happen in time")

    return checked
