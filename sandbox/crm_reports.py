"""What the CRM says it has: a report of deals by the time it made them, page by page.

It can lose a deal without a word, as a restored backup or somebody's clean-up does; the ledger still has the effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from aiohttp import web

from sandbox.crm_deals import DealsApi
from sandbox.crm_ledger import LedgerLine
from sandbox.crm_replies import problem

_PAGE = 50


@dataclass(kw_only=True)
class ReportsApi:
    """``/reports/deals`` lists them, ``/reports/totals`` counts them by currency; both ``from`` and before ``to``."""

    deals: DealsApi
    lost: set[str] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        authorized = self.deals.authorized
        return [
            web.get("/reports/deals", authorized(self._list)),
            web.get("/reports/totals", authorized(self._totals)),
        ]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        found = self._of(request)
        if isinstance(found, web.Response):
            return found
        first = (int(request.query.get("page", "1")) - 1) * _PAGE
        return web.json_response({"deals": [line.response["deal"] for line in found[first : first + _PAGE]]})

    async def _totals(self, request: web.Request) -> web.StreamResponse:
        found = self._of(request)
        if isinstance(found, web.Response):
            return found
        return web.json_response({"meta": {"count": len(found)}})

    def _of(self, request: web.Request) -> list[LedgerLine] | web.Response:
        try:
            since, until = (datetime.fromisoformat(request.query[name]) for name in ("from", "to"))
        except (KeyError, ValueError):
            return problem(HTTPStatus.BAD_REQUEST, "from and to must be times")
        return [
            line
            for line in self.deals.ledger.lines
            if since <= datetime.fromisoformat(line.at) < until and line.order_ref not in self.lost
        ]
