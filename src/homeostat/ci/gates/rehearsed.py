"""Gates that look at a candidate in rehearsal: served by the real server, before any real request reaches it.

Whoever serves and measures passes the findings in; what follows from them is decided here, by pure functions.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from homeostat.ci.gates.base import Gate
from homeostat.core.errors import LoopError
from homeostat.core.events import GateResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from homeostat.core.model.needs import Needs, Target
    from homeostat.core.stats.latency import Latency

GRACE_SECONDS = 0.005
"""A candidate that is slower by less than this is not slower: neighbours on the machine make such differences."""

ANSWERS_AGREE = 1e-5
"""Largest difference of an answer, relative for numbers above 1, that counts as the same."""

_MOST_NAMED = 10


class Load(Gate, tag="load", frozen=True, kw_only=True):
    """See `load`."""

    p99: float | None
    slower: float
    seconds: float
    connections: int

    @property
    def before_traffic(self) -> bool:
        """It looks at a rehearsal, not at an evaluation."""
        return True

    def verdict(
        self, candidate: Latency, champion: Latency | None, *, earlier: bool = False, problem: str | None = None
    ) -> GateResult:
        """What follows from a measured load. Pure."""
        numbers: dict[str, Any] = candidate.numbers() | {"limit_p99_ms": self.p99 and 1_000 * self.p99}
        if champion is not None:
            numbers |= {"champion": champion.numbers() | {"earlier": earlier}, "slower": self.slower}
        said = self._refusal(candidate, champion, problem)
        shown = f"{candidate.qps:,.0f} answers a second, p50 {_ms(candidate.p50)}, p99 {_ms(candidate.p99)}"
        if champion is not None:
            whose = "the champion's were once" if earlier else "the champion's are"
            shown += f"; {whose} {champion.qps:,.0f}, {_ms(champion.p50)} and {_ms(champion.p99)}"
        return GateResult(gate=self.label, passed=said is None, reason=said or shown, numbers=numbers)

    def _refusal(self, candidate: Latency, champion: Latency | None, problem: str | None) -> str | None:
        if problem is not None:
            return f"it could not be served: {problem}"
        if candidate.errors or candidate.p50 is None or candidate.p99 is None:
            counted = f"{candidate.errors:,} of {candidate.errors + candidate.requests:,} requests failed"
            return f"{counted}: {candidate.error}" if candidate.error else counted
        if self.p99 is not None and candidate.p99 > self.p99:
            return f"p99 is {_ms(candidate.p99)} and may be {_ms(self.p99)}"
        if champion is None or champion.p50 is None:
            return None
        if candidate.p50 > self.slower * champion.p50 and candidate.p50 - champion.p50 > GRACE_SECONDS:
            times = candidate.p50 / champion.p50
            found = f"p50 is {_ms(candidate.p50)} and the champion's {_ms(champion.p50)}, {times:,.1f} times as long"
            return f"{found}; {self.slower:g} times would do"
        return None


def load(*, p99: str | None = None, slower: float = 3.0, seconds: float = 1.0, connections: int = 4) -> Load:
    """The candidate, served by the real server in a process of its own, answers about as fast as the champion.

    It is loaded with its golden rows, one row a request, in turns with the champion. It passes when no request failed,
    its median time is at most `slower` times the champion's (or longer by less than 5 ms), and its p99 keeps the limit.
    Rate and percentiles of both stand in the ledger with the version.

    Args:
        p99: Longest time of 99 of 100 requests, as in `"50ms"` or `"1s"`; None sets no limit.
        slower: How many times the champion's median time is tolerated; above 1.
        seconds: How long each is loaded, in (0, 60].
        connections: Requests on their way at a time, 1 to 64.
    """
    limit = None if p99 is None else _seconds(p99)
    if not 1 < slower < math.inf:
        raise LoopError(f"slower={slower} is out of range", hint="choose more than 1, as in 3.0")
    if not 0 < seconds <= 60:
        raise LoopError(f"seconds={seconds} is out of range", hint="choose more than 0 and at most 60")
    if not 1 <= connections <= 64:
        raise LoopError(f"connections={connections} is out of range", hint="choose 1 to 64")
    return Load(p99=limit, slower=float(slower), seconds=float(seconds), connections=connections)


def compatible(needs: Needs, target: Target) -> GateResult:
    """Whether the place where a model is to run has what it needs: packages, Python, memory, accelerator."""
    problems = target.misfits(needs)
    if problems:
        words = "; ".join(problems[:_MOST_NAMED])
    else:
        words = f"its {len(needs.packages)} packages are there"
        if needs.memory is None:
            words += "; its memory was not measured"
    return GateResult(gate="compatible", passed=not problems, reason=words, numbers=target.numbers(needs))


def contract(
    golden: Sequence[Sequence[float]],
    answers: Mapping[str, Sequence[Sequence[float]] | str],
    changes: Sequence[str] = (),
) -> GateResult:
    """Whether a served candidate answers its golden requests as it did when it was trained, to the callers there are.

    Args:
        golden: Scores of each golden row, or its value alone.
        answers: The same as each protocol gave them; or, in place of answers, why it gave none.
        changes: What callers of the champion would notice: inputs or classes that are gone, new or of another kind.
    """
    problems = list(changes)
    numbers: dict[str, Any] = {"rows": len(golden)}
    for name, found in answers.items():
        if isinstance(found, str):
            problems.append(f"{name}: {found}")
            continue
        error = largest_difference(golden, found)
        numbers[name] = error if math.isfinite(error) else None
        if not error <= ANSWERS_AGREE:
            problems.append(f"{name}: its answers differ from the recorded ones by {error:.2g}")
    if not golden:
        problems.append("it has no golden rows to ask")
    words = "; ".join(problems[:_MOST_NAMED])
    if not problems:
        words = f"{len(golden)} golden requests are answered as recorded by {', '.join(answers)}"
    return GateResult(gate="contract", passed=not problems, reason=words, numbers=numbers, binding=True)


def parity(
    rows: Any, answerers: Mapping[str, Callable[[Any], Sequence[Any]]], *, tolerance: float = ANSWERS_AGREE
) -> GateResult:
    """Whether several ways of asking one model give the same answers to the same rows.

    Args:
        rows: Sample rows, handed to every answerer as they are.
        answerers: Name to a function that gives one number (a value or score), or one sequence of numbers, per row. The
            first is what the others are compared with.
        tolerance: Largest difference, relative for numbers above 1, that counts as the same.

    Raises:
        LoopError: There are fewer than two answerers.

    Example:
        >>> parity([1.0, 2.0], {"rest": lambda rows: rows, "batch": lambda rows: [one * 1.1 for one in rows]}).reason
        'batch differs from rest by 0.1 and may by 1e-05'
    """
    if len(answerers) < 2:
        raise LoopError("parity compares at least two ways of asking", hint='parity(rows, {"rest": ..., "batch": ...})')
    (first, ask), *others = answerers.items()
    expected = [_numbers(one) for one in ask(rows)]
    differences = {name: largest_difference(expected, [_numbers(one) for one in other(rows)]) for name, other in others}
    apart = [
        f"{name} differs from {first} by {error:.2g} and may by {tolerance:g}"
        for name, error in differences.items()
        if not error <= tolerance
    ]
    apart += [] if expected else [f"{first} answered no row"]
    words = "; ".join(apart) or f"{', '.join(answerers)} agree on {len(expected):,} rows within {tolerance:g}"
    shown = {name: error if math.isfinite(error) else None for name, error in differences.items()}
    numbers = {"rows": len(expected), "tolerance": tolerance, "differences": shown}
    return GateResult(gate="parity", passed=not apart, reason=words, numbers=numbers)


def largest_difference(expected: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> float:
    """Largest difference between two tables of numbers, relative for numbers above 1; infinite when shapes differ."""
    if len(expected) != len(found) or any(len(one) != len(two) for one, two in zip(expected, found, strict=True)):
        return math.inf
    pairs = [pair for one, two in zip(expected, found, strict=True) for pair in zip(one, two, strict=True)]
    if not all(math.isfinite(value) for pair in pairs for value in pair):
        return math.inf
    return max((abs(one - two) / max(1.0, abs(one)) for one, two in pairs), default=0.0)


def _numbers(answer: Any) -> tuple[float, ...]:
    return tuple(map(float, answer)) if hasattr(answer, "__iter__") else (float(answer),)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s)\s*", text)
    if found is None or float(found[1]) <= 0:
        raise LoopError(f"p99={text!r} is no length of time", hint="write a number and ms or s, as in '50ms'")
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1_000 * seconds:,.1f} ms"
