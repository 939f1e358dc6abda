"""Where training runs: in this process, or in a child process that cannot slow the server down."""

from __future__ import annotations

import msgspec

from homeostat.core.clock import duration
from homeostat.core.errors import LoopError


class TrainingPlace(msgspec.Struct, frozen=True, tag_field="where"):
    """What all places are; another kind needs an executor in `homeostat.engine.live.EXECUTORS`."""


class Local(TrainingPlace, frozen=True, tag="local"):
    """In the process that holds the loop; the server is another process already."""


class Process(TrainingPlace, frozen=True, tag="process", kw_only=True):
    """In a child process of low priority, ended when it takes too long.

    Attributes:
        niceness: How far to step back behind the server (0..19).
        timeout: The longest a run may take, as in `"2h"`.
    """

    niceness: int = 10
    timeout: str = "6h"

    def __post_init__(self) -> None:
        """Refuse a place that does not hold together."""
        if not isinstance(self.niceness, int) or not 0 <= self.niceness <= _NICEST:
            raise LoopError(f"where.Process(niceness={self.niceness!r}) is out of range", hint="choose 0 to 19")
        try:
            duration(self.timeout)
        except LoopError as error:
            raise LoopError(f"where.Process(timeout={self.timeout!r}): {error.what}", hint=error.hint) from None


_NICEST = 19
