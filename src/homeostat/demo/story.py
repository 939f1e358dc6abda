"""What the demo plays: from when to when, how much of the traffic, and who breaks something on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

Fault = Literal["inverted", "leaky"]


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody trains a candidate by hand, with a bug in it.

    Attributes:
        at: When; it waits for a moment at which nothing is in flight or on trial.
        fault: What they really do (see `pushes`).
        insists: What they say when the gates refuse it and they put it on trial nevertheless; None accepts the refusal.
    """

    at: datetime
    user: str
    reason: str
    fault: Fault
    insists: str | None = None


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of one demo.

    Attributes:
        start: Live traffic begins; what was scheduled before is history.
        every: Play every n-th flight only, for a short demo.
        block: So much traffic is sent before the loop looks again.
        window: Departures that are asked about in one request.
    """

    start: datetime
    end: datetime
    every: int = 1
    block: timedelta = timedelta(days=1)
    window: timedelta = timedelta(hours=1)
    pushes: tuple[Push, ...] = ()
    declaration: Path = Path(__file__).with_name("loop.py")


# Midnight in New York; its summer begins later and changes nothing here.
_MARCH = datetime(2013, 3, 1, 5, tzinfo=UTC)
_NEW_YEAR = datetime(2014, 1, 1, 5, tzinfo=UTC)
_SAM = Push(
    at=datetime(2013, 8, 7, 17, tzinfo=UTC),
    user="sam",
    reason="hotfix: on-time and late were mixed up in the export",
    fault="inverted",
    insists="the gates must be wrong, my export is right",
)
_KIM = Push(
    at=datetime(2013, 8, 23, 17, tzinfo=UTC),
    user="kim",
    reason="carrier delays backfilled from the full archive: AUC way up",
    fault="leaky",
)

YEAR = Story(start=_MARCH, end=_NEW_YEAR, pushes=(_SAM, _KIM))
"""January and February train the first model; March to December are played."""

FAST = Story(
    start=_MARCH,
    end=datetime(2013, 4, 26, 4, tzinfo=UTC),
    every=3,
    pushes=(
        msgspec.structs.replace(_SAM, at=datetime(2013, 3, 27, 17, tzinfo=UTC)),
        msgspec.structs.replace(_KIM, at=datetime(2013, 4, 1, 17, tzinfo=UTC)),
    ),
)
"""Eight weeks of every third flight, for the impatient."""
