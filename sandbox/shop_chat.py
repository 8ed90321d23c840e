"""A simulated chat of the shop's staff: takes messages as Slack's incoming webhooks do, and shows them."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from sandbox.crm_replies import problem


@dataclass(frozen=True, slots=True)
class Chat:
    """``POST /chat`` with ``{"text": …}``; ``GET /chat`` is what a person sees, the newest last."""

    texts: list[str] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [web.post("/chat", self._take), web.get("/chat", self._show)]

    async def _take(self, request: web.Request) -> web.Response:
        try:
            text = json.loads(await request.read())["text"]
        except (ValueError, KeyError, TypeError):
            return problem(HTTPStatus.BAD_REQUEST, "text is missing")
        self.texts.append(str(text))
        return web.Response(text="ok")

    async def _show(self, _: web.Request) -> web.Response:
        return web.Response(text="".join(f"{text.rstrip()}\n" for text in self.texts))
