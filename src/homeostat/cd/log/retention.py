"""Which segments of the prediction log are still needed, so that the others can be deleted.

Rows are numbered in the order of the log. A record belongs to a segment, and it may speak of a row of another one: a
label, say, that came a day later. A segment can go when nobody will miss a record of it, and when no segment that stays
holds a row of which it speaks: else that row would come back without its label when the log is read again.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class _Segment(msgspec.Struct):
    """What is known of one segment.

    Attributes:
        last: Highest number of the rows that it speaks of.
        unjoined: Its rows without a label, and its labels without a row.
        others: Segments that hold rows of which it speaks.
    """

    newest: datetime
    last: int = -1
    unjoined: int = 0
    others: set[str] = msgspec.field(default_factory=set)


class Needed:
    """Keeps count for every segment while the log is folded."""

    def __init__(self) -> None:
        self._segments: dict[str, _Segment] = {}

    def record(self, segment: str, moment: datetime) -> None:
        """A record of a segment was read."""
        known = self._segments.get(segment)
        if known is None:
            self._segments[segment] = _Segment(moment)
        elif known.newest < moment:
            known.newest = moment

    def row(self, segment: str, number: int) -> None:
        """A record holds a new row, which waits for its label."""
        known = self._segments[segment]
        known.last, known.unjoined = number, known.unjoined + 1

    def label(self, segment: str) -> None:
        """A record holds a label whose row is not there."""
        self._segments[segment].unjoined += 1

    def found(self, segment: str) -> None:
        """The row of such a label came."""
        self._segments[segment].unjoined -= 1

    def joined(self, segment: str, holder: str, number: int) -> None:
        """A record holds the label of a row of the segment `holder`."""
        self._segments[holder].unjoined -= 1
        self.speaks(segment, holder, number)

    def speaks(self, segment: str, holder: str, number: int) -> None:
        """A record says something of a row of the segment `holder`."""
        known = self._segments[segment]
        known.last = max(known.last, number)
        if holder != segment:
            known.others.add(holder)

    def names(self, *, first: int, seen: datetime, before: datetime) -> set[str]:
        """The segments that must stay.

        Args:
            first: Number of the oldest row that is remembered.
            seen: What was recorded at or after this time has not been looked at by everybody.
            before: What was recorded before this time is not waited for any more.
        """
        stay = {
            name
            for name, one in self._segments.items()
            if one.last >= first or one.newest >= seen or (one.unjoined and one.newest >= before)
        }
        while more := {name for name, one in self._segments.items() if name not in stay and one.others & stay}:
            stay |= more
        return stay
