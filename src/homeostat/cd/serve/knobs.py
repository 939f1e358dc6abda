"""How a server is operated, from environment variables: they reach every worker, and units and images set them."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import msgspec

from homeostat.core.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = {
    "drain_seconds": "HOMEOSTAT_DRAIN_SECONDS",
    "hang_seconds": "HOMEOSTAT_HANG_SECONDS",
    "slow_seconds": "HOMEOSTAT_SLOW_SECONDS",
    "log_sample": "HOMEOSTAT_LOG_SAMPLE",
}


class Knobs(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may turn.

    Attributes:
        drain_seconds: How long the server goes on answering after SIGTERM, unready, so that load balancers notice.
        hang_seconds: A model path that answers nothing for so long makes the server not live.
        slow_seconds: A request that took longer is told of in the log.
        log_sample: One of so many of the other requests is told of too; 0 tells of none.
    """

    drain_seconds: float = 0.0
    hang_seconds: float = 15.0
    slow_seconds: float = 1.0
    log_sample: int = 0


def read_knobs(environment: Mapping[str, str] = os.environ) -> Knobs:
    """The knobs as the environment sets them.

    Raises:
        RefusedError: One is no number, or negative; every such one is listed.

    Example:
        >>> read_knobs({"HOMEOSTAT_DRAIN_SECONDS": "5"}).drain_seconds
        5.0
    """
    found: dict[str, float] = {}
    problems = []
    for name, variable in VARIABLES.items():
        text = environment.get(variable, "").strip()
        if not text:
            continue
        kind = int if name == "log_sample" else float
        try:
            found[name] = kind(text)
        except ValueError:
            found[name] = math.nan
        if not 0 <= found[name] < math.inf:
            problems.append(f"{variable} is {text[:40]!r}")
    if problems:
        raise RefusedError("; ".join(problems), hint="set it to a number that is not negative, or leave it out")
    return msgspec.convert(found, Knobs)
