"""What reconciling has found, as log lines: numbers of events, never amounts."""

from __future__ import annotations

from dataclasses import asdict
from typing import assert_never

import structlog

from outbox.model.reconcile_events import Reconciled, ReconcileEvents, TotalsGivenUp, TotalsUntold
from outbox.model.reconciliation import Verdict


def write_totals(log: structlog.typing.FilteringBoundLogger, event: ReconcileEvents) -> None:
    """Write one event. Totals that disagree are an error: with everything else green, nobody would look."""
    match event:
        case Reconciled(flow=flow, verdict=Verdict.AGREES):
            log.info("the totals agree", **asdict(event))
        case Reconciled(flow=flow, verdict=verdict):
            step = {"next_step": f'"outbox reconcile --flow {flow}" lists what differs'}
            if verdict == Verdict.LATE:
                log.warning("the totals lack what waits or is parked", **asdict(event), **step)
            else:
                log.error("the totals disagree", **asdict(event), **step)
        case TotalsUntold():
            log.error("the target does not tell its totals, it is asked again", **asdict(event))
        case TotalsGivenUp(flow=flow):
            once_more = f'"outbox reconcile --flow {flow}" with --from and --to asks once more'
            log.error("the target never told these totals, they are given up", **asdict(event), next_step=once_more)
        case _:
            assert_never(event)
