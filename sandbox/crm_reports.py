"""What the CRM says it has: a report of deals by the time it made them, page by page.

It can lose a deal without a word, as a restored backup or somebody's clean-up does; the ledger still has the effect.
What is lost by ``POST /_lose`` is the deals that an order has then: one that is made later is there.
"""

from __future__ import annotations

import json
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
    """``/reports/deals`` lists them, ``/reports/totals`` counts them by currency; both ``from`` and before ``to``.

    ``/_deals`` is for people. ``lost``: orders whose deals are never there; ``lost_deals``: deals that are gone.
    """

    deals: DealsApi
    lost: set[str] = field(default_factory=set)
    lost_deals: set[str] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        authorized = self.deals.authorized
        return [
            web.get("/reports/deals", authorized(self._list)),
            web.get("/reports/totals", authorized(self._totals)),
            web.post("/_lose", self._lose),
            web.get("/_deals", self._show),
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

    async def _lose(self, request: web.Request) -> web.StreamResponse:
        try:
            order_ref = json.loads(await request.read())["order_ref"]
        except (ValueError, KeyError, TypeError):
            return problem(HTTPStatus.BAD_REQUEST, "order_ref is missing")
        gone = {line.deal_id for line in self.deals.ledger.deals_of(order_ref)} - self.lost_deals
        self.lost_deals |= gone
        return _line({"lost": sorted(gone)})

    async def _show(self, _: web.Request) -> web.Response:
        return web.Response(
            text="".join(
                json.dumps(
                    {
                        "deal": line.deal_id,
                        "external_ref": line.order_ref,
                        "customer": line.customer,
                        "revision": line.revision,
                        "amount": line.amount,
                    }
                )
                + "\n"
                for line in self.deals.ledger.lines
                if self._is_there(line)
            ),
            content_type="application/json",
        )

    def _is_there(self, line: LedgerLine) -> bool:
        return line.order_ref not in self.lost and line.deal_id not in self.lost_deals

    def _of(self, request: web.Request) -> list[LedgerLine] | web.Response:
        try:
            since, until = (datetime.fromisoformat(request.query[name]) for name in ("from", "to"))
        except (KeyError, ValueError):
            return problem(HTTPStatus.BAD_REQUEST, "from and to must be times")
        return [
            line
            for line in self.deals.ledger.lines
            if since <= datetime.fromisoformat(line.at) < until and self._is_there(line)
        ]


def _line(document: dict[str, object]) -> web.Response:
    return web.Response(text=json.dumps(document) + "\n", content_type="application/json")
