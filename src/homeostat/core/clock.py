"""Time and identity: the only module that reads the machine's clock or its randomness.

Everything else is handed a `Clock`, so that a live loop and a replay differ only in which clock they were given.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from homeostat.core.errors import DataError, LoopError


class Clock(Protocol):
    """What the time is, as an aware UTC datetime."""

    def now(self) -> datetime:
        """The current time, in UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The current wall-clock time, in UTC."""
        return datetime.now(UTC)


class VirtualClock:
    """A clock that moves only when it is told to, and never backwards.

    Example:
        >>> clock = VirtualClock(datetime(2013, 3, 1, tzinfo=UTC))
        >>> clock.advance_to(datetime(2013, 3, 2, tzinfo=UTC))
        >>> clock.now().day
        2
    """

    def __init__(self, start: datetime) -> None:
        self._now = utc(start)

    def now(self) -> datetime:
        """The time it was last told."""
        return self._now

    def advance_to(self, moment: datetime) -> None:
        """Move to `moment`; an earlier one changes nothing."""
        self._now = max(self._now, utc(moment))

    def advance(self, by: timedelta) -> None:
        """Move forward by a duration."""
        self.advance_to(self._now + by)


class PacedClock:
    """A clock that was set to a moment and runs on from there at the machine's pace.

    Work that is done at a virtual time has real durations on it.
    """

    def __init__(self, start: datetime) -> None:
        self._start = utc(start)
        self._begin = stopwatch()

    def now(self) -> datetime:
        """The moment that it was set to, plus the seconds since then."""
        return self._start + timedelta(seconds=stopwatch() - self._begin)


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration(text: str) -> timedelta:
    """A length of time from a number and a unit: seconds, minutes, hours, days or weeks.

    Raises:
        LoopError: the text is not of that form, or is not positive.

    Example:
        >>> duration("36h").days
        1
    """
    number, unit = text[:-1].strip(), text[-1:]
    try:
        seconds = float(number) * _UNITS[unit]
    except (KeyError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise LoopError(f"{text!r} is not a length of time", hint="write a number and s, m, h, d or w, as in '7d'")
    return timedelta(seconds=seconds)


def utc(moment: datetime) -> datetime:
    """The same moment as an aware UTC datetime; a naive one is taken to be UTC already.

    Raises:
        DataError: In UTC it lies outside of the years 1 to 9999.
    """
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise DataError(f"{moment.isoformat()} is outside of the years 0001 to 9999 once it is in UTC") from error


stopwatch = time.perf_counter
"""Seconds on a clock that only runs forward; use the difference of two readings."""


def pause(seconds: float) -> None:
    """Wait, for loops that poll."""
    time.sleep(seconds)


def new_id(prefix: str = "") -> str:
    """A fresh identifier: 80 random bits in hexadecimal, after an optional prefix."""
    try:
        return prefix + _fresh.pop()
    except IndexError:
        # The system is asked for many at a time: one call costs more than all else that an identifier takes.
        drawn = secrets.token_hex(10 * _DRAWN)
        _fresh.extend(_TWENTY.findall(drawn, 20))
        return prefix + drawn[:20]


_DRAWN = 256
_TWENTY = re.compile(".{20}")
_fresh: list[str] = []
# A forked process must not give out its parent's.
os.register_at_fork(after_in_child=_fresh.clear)
