"""What a server is told once, and how it is operated: environment variables reach every worker, and images set them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from homeostat.cd.log import WhenFull
from homeostat.core.errors import RefusedError

VARIABLES = {
    "drain_seconds": "HOMEOSTAT_DRAIN_SECONDS",
    "hang_seconds": "HOMEOSTAT_HANG_SECONDS",
    "slow_seconds": "HOMEOSTAT_SLOW_SECONDS",
    "log_sample": "HOMEOSTAT_LOG_SAMPLE",
    "log_bytes": "HOMEOSTAT_LOG_BYTES",
}
WHEN_FULL_VARIABLE = "HOMEOSTAT_LOG_WHEN_FULL"
_WHOLE = frozenset({"log_sample", "log_bytes"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is told once.

    Attributes:
        name: Name of the Loop, and of its model in the protocol. With several models, the one behind `/predict`.
        token: Every request must bear it; None only on loopback, where web pages are kept out instead.
        header_clock: Take the time of a request from its header `homeostat-time`, for traffic that is played back.
        most_bytes: Longest body, also once it is unpacked.
        most_seconds: In which the head of a request, and then its body, have to arrive.
        log_bytes: Longest prediction log, all its segments together; None for no limit.
        when_full: A prediction that the log cannot take gets 503 by `block`, and is answered and counted by `drop`.
    """

    name: str
    token: str | None = None
    host: str = "127.0.0.1"
    header_clock: bool = False
    most_bytes: int = 32 << 20
    most_rows: int = 100_000
    most_seconds: float = 30.0
    log_bytes: int | None = None
    when_full: WhenFull = "block"


class OperatingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may turn.

    Attributes:
        drain_seconds: How long the server goes on answering after SIGTERM, unready, so that load balancers notice.
        hang_seconds: A server whose model path has answered nothing for so long is taken for dead, and replaced.
        slow_seconds: A request that took longer is told of in the log.
        log_sample: One of so many of the other requests is told of too; 0 tells of none.
        log_bytes: Longest prediction log, all its segments together; None for no limit.
        when_full: A prediction that the log cannot take gets 503 by `block`, and is answered and counted by `drop`.
    """

    drain_seconds: float = 0.0
    hang_seconds: float = 15.0
    slow_seconds: float = 1.0
    log_sample: int = 0
    log_bytes: int | None = None
    when_full: WhenFull = "block"


def operating_settings(environment: Mapping[str, str] = os.environ) -> OperatingSettings:
    """The settings as the environment has them.

    Raises:
        RefusedError: One is not what it should be; every such one is listed.

    Example:
        >>> operating_settings({"HOMEOSTAT_DRAIN_SECONDS": "5"}).drain_seconds
        5.0
    """
    found: dict[str, Any] = {}
    problems = []
    for name, variable in VARIABLES.items():
        text = environment.get(variable, "").strip()
        if not text:
            continue
        kind = int if name in _WHOLE else float
        try:
            found[name] = kind(text)
        except ValueError:
            found[name] = math.nan
        if not 0 <= found[name] < math.inf:
            problems.append(f"{variable} is {text[:40]!r}")
    when_full = environment.get(WHEN_FULL_VARIABLE, "").strip()
    if when_full:
        found["when_full"] = when_full
    if when_full not in ("", *get_args(WhenFull)):
        problems.append(f"{WHEN_FULL_VARIABLE} is {when_full[:40]!r}, neither block nor drop")
    if problems:
        raise RefusedError("; ".join(problems), hint="numbers are not negative; or leave it out")
    return msgspec.convert(found, OperatingSettings)
