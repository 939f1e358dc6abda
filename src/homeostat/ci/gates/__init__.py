"""Gates: what a candidate must show before it may replace anything. Each is a pure function that says what it saw.

Some checks are always on, whatever gates a Loop declares: see `standing`.
"""

from homeostat.ci.gates.base import Gate
from homeostat.ci.gates.evaluated import (
    FEWEST_TEST_ROWS,
    at_least,
    beats_baseline,
    beats_champion,
    behaves,
    calibrated,
    default,
    judge,
    not_leaking,
    not_worse_than_champion,
    slices,
    standing,
)
from homeostat.ci.gates.rehearsed import compatible, load, parity

__all__ = [
    "FEWEST_TEST_ROWS",
    "Gate",
    "at_least",
    "beats_baseline",
    "beats_champion",
    "behaves",
    "calibrated",
    "compatible",
    "default",
    "judge",
    "load",
    "not_leaking",
    "not_worse_than_champion",
    "parity",
    "slices",
    "standing",
]
