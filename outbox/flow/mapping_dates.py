"""Dates and times between formats and time zones. A time that does not exist, or exists twice, is never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

from outbox.config.transforms import Date
from outbox.flow.mapping_numbers import calculating, number_in
from outbox.flow.refused import Refused, expected
from outbox.model.exact_numbers import EXACT, fit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1_000}
# Longer than any time that is written.
_MAX_CHARACTERS = 64
_TOO_FINE = re.compile(r"[.,]\d{6}0*[1-9]")


def dated(settings: Date) -> Callable[[object], object]:
    """Return the transform that the settings describe."""
    read, write = _reader(settings.from_), _writer(settings.to)
    zone = None if settings.zone is None else ZoneInfo(settings.zone)
    to_zone = None if settings.to_zone is None else ZoneInfo(settings.to_zone)
    needs_instant = settings.to in _UNITS or to_zone is not None

    def transformed(value: object) -> object:
        try:
            time = read(value)
            if time.tzinfo is None and zone is not None:
                time = _local(time, zone, settings.ambiguous)
            if time.tzinfo is None and needs_instant:
                raise Refused("is a time without an offset, and the rule names no zone")
            return write(time if to_zone is None else time.astimezone(to_zone))
        except OverflowError:
            raise Refused("is a time out of the years 1 to 9999") from None

    return transformed


def _local(time: datetime, zone: tzinfo, ambiguous: str) -> datetime:
    """Put a time into its zone.

    Raises:
        Refused: clocks of the zone skip it, or show it twice and nobody said which is meant.
    """
    early, late = time.replace(tzinfo=zone, fold=0), time.replace(tzinfo=zone, fold=1)
    if early.utcoffset() == late.utcoffset():
        return early
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != time:
        raise Refused(f"is a time that the clocks of {zone} skip")
    if ambiguous == "refuse":
        raise Refused(f"is a time that the clocks of {zone} show twice; the rule must say ambiguous: earlier or later")
    return early if ambiguous == "earlier" else late


def _reader(form: str) -> Callable[[object], datetime]:
    if form in _UNITS:
        return lambda value: _from_epoch(value, _UNITS[form])
    if form == "date":
        return lambda value: _parsed(
            value, lambda text: datetime.combine(date.fromisoformat(text), datetime.min.time())
        )
    if form == "iso":
        return lambda value: _parsed(value, _from_iso)
    return lambda value: _parsed(value, lambda text: datetime.strptime(text, form))  # noqa: DTZ007 - zones come later


def _from_iso(text: str) -> datetime:
    if _TOO_FINE.search(text):
        raise Refused("is a time finer than a microsecond")
    return datetime.fromisoformat(text)


def _parsed(value: object, parse: Callable[[str], datetime]) -> datetime:
    if not isinstance(value, str):
        raise expected("a string with a time", value)
    try:
        return parse(value) if len(value) <= _MAX_CHARACTERS else _refuse()
    except ValueError:
        # The library's text quotes the value.
        return _refuse()


def _refuse() -> datetime:
    raise Refused("is a string that is no time of this format")


def _from_epoch(value: object, per_second_fraction: int) -> datetime:
    with calculating():
        microseconds = EXACT.multiply(Decimal(number_in(value)), Decimal(per_second_fraction))
    if microseconds != microseconds.to_integral_value():
        raise Refused("is a time finer than a microsecond")
    return _EPOCH + timedelta(microseconds=int(microseconds))


def _writer(form: str) -> Callable[[datetime], object]:
    if form in _UNITS:
        # By whole microseconds: dividing would give a float.
        return lambda time: fit(_to_epoch((time - _EPOCH) // _MICROSECOND, _UNITS[form]))
    if form == "date":
        return lambda time: time.date().isoformat()
    if form == "iso":
        return lambda time: time.isoformat().replace("+00:00", "Z")
    return lambda time: time.strftime(form)


def _to_epoch(microseconds: int, per_second_fraction: int) -> int | Decimal:
    whole, rest = divmod(microseconds, per_second_fraction)
    return whole if rest == 0 else Decimal(microseconds) / per_second_fraction
