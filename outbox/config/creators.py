"""Flows that mappings ask for records (`xref: {missing: create_first, flow: …}`), judged before the models see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outbox.config.draft import Draft
from outbox.config.problems import Finding, KeyPath, did_you_mean


@dataclass(frozen=True, slots=True)
class _Asking:
    """One rule that asks another flow. ``path``: of its ``flow``."""

    path: KeyPath
    flow: str
    asked: str
    entity: object
    system: object


def check_creators(draft: Draft) -> None:
    """Find flows that do not exist, would link something else, or ask for each other in a circle.

    To be called when the short forms of mappings are spelled out.
    """
    flows = draft.data.get("flows")
    if not isinstance(flows, dict):
        return
    askings = [one for name, flow in flows.items() for one in _askings(name, flow)]
    asked_by: dict[str, set[str]] = {}
    for one in askings:
        asked_by.setdefault(one.flow, set()).add(one.asked)
    for one in askings:
        if not draft.is_broken(one.path):
            problem = _problem(draft, flows, one, asked_by)
            if problem is not None:
                draft.find(problem)


def _problem(
    draft: Draft, flows: Mapping[str, object], one: _Asking, asked_by: Mapping[str, set[str]]
) -> Finding | None:
    if one.asked not in flows:
        if draft.is_partial:
            # It may be in the file that could not be read, which is told.
            return None
        known = sorted(set(flows) - {one.flow})
        others = f"known are {', '.join(known)}" if known else "there is no other flow"
        return Finding(one.path, f"unknown flow, {others}", did_you_mean(one.asked, known), is_about_value=True)
    circle = _circle(one, asked_by)
    if circle is not None:
        return Finding(
            one.path,
            f"must not lead back to the flow that asks ({' → '.join(circle)}): each would wait for the other",
            is_about_value=True,
        )
    asked = flows[one.asked]
    links = asked.get("links") if isinstance(asked, dict) else None
    wanted = f"links: {{entity: {one.entity}, system: {one.system}}}"
    if links is None or not isinstance(links, dict):
        return Finding(one.path, f"must be a flow whose receipts link it; set {wanted} in it", is_about_value=True)
    if (links.get("entity"), links.get("system")) != (one.entity, one.system):
        told = f"{links.get('entity')} in {links.get('system')}"
        return Finding(
            one.path, f"must be a flow with {wanted}; the receipts of this one link {told}", is_about_value=True
        )
    return None


def _circle(one: _Asking, asked_by: Mapping[str, set[str]]) -> tuple[str, ...] | None:
    """Return the way from a flow back to itself that begins with whom it asks here."""
    ways: list[tuple[str, ...]] = [(one.flow, one.asked)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == one.flow:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [(*way, name) for name in sorted(asked_by.get(way[-1], ()))]
    return None


def _askings(name: str, flow: object) -> Iterator[_Asking]:
    if isinstance(flow, dict):
        yield from _in_rules(name, ("flows", name, "mapping"), flow.get("mapping"))


def _in_rules(name: str, path: KeyPath, rules: object) -> Iterator[_Asking]:
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if not isinstance(rule, dict):
            continue
        here = (*path, number)
        steps = rule.get("transform")
        for place, step in enumerate(steps if isinstance(steps, list) else ()):
            xref = step.get("xref") if isinstance(step, dict) else None
            if isinstance(xref, dict) and xref.get("missing") == "create_first" and isinstance(xref.get("flow"), str):
                yield _Asking(
                    (*here, "transform", place, "xref", "flow"),
                    name,
                    xref["flow"],
                    xref.get("entity"),
                    xref.get("system"),
                )
        yield from _in_rules(name, (*here, "fields"), rule.get("fields"))
