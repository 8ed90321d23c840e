"""Whether everything that one schema allows is allowed by another. Pure, and never wrong in the lenient direction.

``a`` is within ``b`` when what ``a`` allows keeps every rule of ``b``. Where that cannot be shown, a reason is given: a
narrowing, or that nobody can tell. Ignoring a rule of ``a`` makes ``a`` larger and is always safe; ignoring one of
``b`` never is.

What an object does not declare is not sent: a property that only ``b`` knows is no narrowing, although ``a`` would have
allowed anything in its place. That is assumed where all declarations are known (one schema, or several that all hold),
and not among alternatives; see `Level`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from outbox.flow.contract_compared import Reason
from outbox.flow.contract_level import Here, Level, merged, parts
from outbox.flow.contract_limits import ABOUT, keeps
from outbox.flow.schema_view import View, is_among, is_same, types_of

# Only the same rule is known to imply these.
_OPAQUE: Mapping[str, tuple[str, ...]] = {
    "not": ("not",),
    "if": ("if", "then", "else"),
    "dependentSchemas": ("dependentSchemas",),
    "propertyNames": ("propertyNames",),
    "contains": ("contains", "minContains", "maxContains"),
}
# What these say depends on everything beside them.
_WHOLE = ("$dynamicRef", "unevaluatedItems", "unevaluatedProperties")


def narrowings(a: View, b: View, *, tells_removed: bool = False) -> list[Reason]:
    """Return why something that ``a`` allows may be refused by ``b``; nothing: all of it surely is allowed.

    With ``tells_removed`` a property of ``b`` that ``a`` does not declare is a reason, too.
    """
    pending = [(a, b, Here(tells_removed=tells_removed))]
    while True:
        try:
            found = _reasons(*pending[-1])
        except _TooDeepError as deep:
            # What lies that deep is compared first, with all of the stack; what asked for it then finds it known.
            pending.append((deep.a, deep.b, deep.here))
            continue
        pending.pop()
        if not pending:
            return found


class _TooDeepError(Exception):
    """Two schemas lie so deep that comparing them now could run out of stack."""

    def __init__(self, a: View, b: View, here: Here) -> None:
        self.a, self.b, self.here = a, b, here


def _reasons(a: View, b: View, here: Here) -> list[Reason]:
    a, b = a.followed(), b.followed()
    if b.takes_all() or a.takes_nothing():
        return []
    pair = (id(a.schema), id(b.schema), here.is_open)
    if pair in here.pairs:
        # In a circle, what was begun further up decides.
        here.compared.rests_on(pair)
        return []
    found = here.compared.known(pair, here.pairs)
    if found is None:
        # Without a step down it may be a schema that is made anew each time, and is never found again.
        if here.path and here.compared.is_deep():
            raise _TooDeepError(a, b, here)
        found = here.compared.add(pair, (a, b), lambda: _compare(a, b, here.within(pair)))
    return [reason.below(here.path) for reason in found]


def _compare(a: View, b: View, here: Here) -> Iterator[Reason]:
    ours, theirs = parts(a) or [a.as_true()], parts(b)
    for rule in _WHOLE:
        if any(part.has(rule) for part in theirs) and not is_same(a, b):
            yield Reason(here.path, rule, a.get(rule), b.get(rule), is_known=False)
    level = Level.of(ours, theirs, here)
    for demanded in theirs:
        yield from _closest(ours, demanded, level)


def _closest(ours: list[View], b: View, level: Level) -> list[Reason]:
    """Return the reasons of the part of ``a`` that comes closest to keeping a part of ``b``."""
    attempts = [list(_part(part, b, level)) for part in (*ours, *merged(ours))]
    attempts += [
        [reason for branch in part.each(word) for reason in _reasons(branch, b, level.here.opened())]
        for part in ours
        for word in ("anyOf", "oneOf")
        if part.has(word)
    ]
    return min(attempts, key=lambda reasons: (len(reasons), any(one.is_known for one in reasons)))


def _part(a: View, b: View, level: Level) -> Iterator[Reason]:
    """Compare the rules that stand directly in two schemas."""
    here = level.here
    if b.takes_nothing():
        if a.types():
            yield Reason(here.path, "false", True, False)
        return
    yield from _types_and_values(a, b, here)
    for rule in sorted(b.constraints() & ABOUT.keys()):
        if not keeps(a, rule, b.get(rule)):
            is_known = rule not in {"pattern", "format"} or (not a.has(rule) and a.values() is None)
            yield Reason(here.path, rule, a.get(rule), b.get(rule), is_known=is_known)
    if "object" in a.types():
        yield from _object(a, b, level)
    if "array" in a.types():
        yield from _list(a, b, level)
    for rule, words in _OPAQUE.items():
        if b.has(rule) and not is_same(a.only(*words), b.only(*words)):
            yield Reason(here.path, rule, a.get(rule), b.get(rule), is_known=False)
    for word in ("anyOf", "oneOf"):
        if b.has(word):
            yield from _alternatives(a, b, word, here.opened())


def _types_and_values(a: View, b: View, here: Here) -> Iterator[Reason]:
    values = a.values()
    if b.has("type"):
        allowed = b.without("const", "enum").types()
        is_narrower = (
            not a.types() <= allowed if values is None else any(not types_of(value) & allowed for value in values)
        )
        if is_narrower:
            yield Reason(here.path, "type", a.get("type"), b.get("type"))
    for rule in ("const", "enum"):
        if b.has(rule) and (values is None or not is_among(values, b.only(rule).values() or [])):
            yield Reason(here.path, rule, a.get(rule), b.get(rule))


def _object(a: View, b: View, level: Level) -> Iterator[Reason]:
    here, required = level.here, a.names("required")
    for name in b.names("required"):
        if name not in required:
            yield Reason(here.at(name).path, "required", False, True)
    dependent, known = b.get("dependentRequired"), a.get("dependentRequired")
    for name, others in dependent.items() if isinstance(dependent, dict) else ():
        promised = {*required, *(known.get(name, ()) if isinstance(known, dict) else ())}
        if not promised.issuperset(others):
            yield Reason(here.at(name).path, "dependentRequired", sorted(promised & {*others}), others)
    ours = a.named("properties")
    for name, demanded in b.named("properties").items():
        if name in ours:
            yield from _reasons(ours[name], demanded, level.property(name))
            continue
        yield from _undeclared(a, demanded, name, level)
        if here.tells_removed and not (level.names is not None and name in level.names):
            yield Reason(here.at(name).path, "properties", None, True)
    yield from _patterns(a, b, level)
    yield from _others(a, b, level)


def _undeclared(a: View, demanded: View, name: str, level: Level) -> Iterator[Reason]:
    """Compare what ``a`` allows under a name that it does not declare."""
    path = level.here.at(name).path
    if demanded.followed().takes_all():
        return
    if a.has("patternProperties"):
        yield Reason(path, "patternProperties", a.get("patternProperties"), None, is_known=False)
    elif (rest := a.rest()) is not None:
        yield from _reasons(rest, demanded, level.property(name))
    elif level.names is None or name in level.names:
        yield Reason(path, "properties", None, demanded.schema, is_known=False)


def _patterns(a: View, b: View, level: Level) -> Iterator[Reason]:
    ours = a.named("patternProperties")
    for pattern, demanded in b.named("patternProperties").items():
        inside = level.here.at(f"({pattern})").opened()
        if pattern in ours:
            yield from _reasons(ours[pattern], demanded, inside)
        elif not demanded.followed().takes_all():
            yield Reason(inside.path, "patternProperties", None, demanded.schema, is_known=False)


def _others(a: View, b: View, level: Level) -> Iterator[Reason]:
    """Compare what is allowed under names that ``b`` does not declare."""
    rest = b.rest()
    if rest is None:
        return
    declared, patterns = b.named("properties"), b.named("patternProperties")
    ours = a.named("properties")
    for name in sorted(ours.keys() - declared.keys()):
        if rest.takes_nothing() and not ours[name].takes_nothing():
            yield Reason(level.here.at(name).path, "additionalProperties", ours[name].schema, False)
        else:
            yield from _reasons(ours[name], rest, level.property(name))
    for pattern, schema in a.named("patternProperties").items():
        if pattern not in patterns:
            yield from _reasons(schema, rest, level.here.at(f"({pattern})").opened())
    if (our_rest := a.rest()) is not None:
        yield from _reasons(our_rest, rest, level.here.at("*").opened())
    elif level.names is None or level.names - ours.keys() - declared.keys():
        yield Reason(level.here.at("*").path, "additionalProperties", None, rest.schema, is_known=False)


def _list(a: View, b: View, level: Level) -> Iterator[Reason]:
    for place in range(max(len(a.each("prefixItems")), len(b.each("prefixItems")))):
        yield from _reasons(a.entry(place), b.entry(place), level.entry(place))
    if (rest := b.below("items")) is not None:
        yield from _reasons(a.below("items") or a.as_true(), rest, level.entry("*"))


def _alternatives(a: View, b: View, word: str, here: Here) -> Iterator[Reason]:
    if is_same(a.only(word), b.only(word)):
        return
    if word == "oneOf" and not _are_disjoint(b.each(word)):
        yield Reason(here.path, word, a.get(word), b.get(word), is_known=False)
        return
    own = a.without("anyOf", "oneOf")
    for branch in [one for each in ("anyOf", "oneOf") for one in a.each(each)] or own.split():
        attempts = [list(_reasons(one, other, here)) for other in b.each(word) for one in (branch, own)]
        if all(attempts):
            known = all(any(one.is_known for one in attempt) for attempt in attempts)
            yield Reason(here.path, word, branch.schema, b.get(word), is_known=known)


def _are_disjoint(views: Sequence[View]) -> bool:
    """Say whether surely no value is valid under two of these: exactly one of them is then any of them."""
    followed = [view.followed() for view in views]
    return all(_exclude(one, other) for place, one in enumerate(followed) for other in followed[place + 1 :])


def _exclude(one: View, other: View) -> bool:
    if not one.types() & other.types():
        return True
    if one.types() | other.types() != {"object"}:
        return False
    # A property that both need, and that tells them apart.
    shared = set(one.names("required")) & set(other.names("required"))
    ours, theirs = one.named("properties"), other.named("properties")
    for name in shared & ours.keys() & theirs.keys():
        values, others = ours[name].followed().values(), theirs[name].followed().values()
        if values is not None and others is not None and not any(is_among([value], others) for value in values):
            return True
    return False
