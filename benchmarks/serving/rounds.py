"""Contestants measured in turn, round after round: a machine that slows down for a while slows all of them down."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.serving.calls import Call, measure
from benchmarks.serving.model import Questions
from benchmarks.serving.peers import Peer, python_of
from benchmarks.serving.processes import Server

Rounds = dict[str, list[dict[str, Any]]]
"""By contestant, what each round found."""

_WARM_SECONDS = 0.5
_FIGURES = ("rate", "p50_ms", "p99_ms", "worst_ms", "busy", "cpu_us")


@dataclass
class Bench:
    """One run of the benchmark.

    Attributes:
        folder: For stores, models and what servers print.
        environments: Where the peers' environments are: `.venv-peers` for `.venv-peers-mlserver` and so on.
        seconds: Of one measurement.
        rounds: Measurements of each contestant.
        missing: Contestants that could not be measured, and why.
    """

    folder: Path
    environments: str
    seconds: float
    rounds: int
    missing: dict[str, str] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _peers: dict[str, Server | None] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def file(self, name: str, data: bytes) -> Path:
        """A file that peers read."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def peer(self, peer: Peer, model: Path) -> Server | None:
        """A peer, started at its first use and asleep; None when it cannot be measured."""
        if peer.name not in self._peers:
            self._peers[peer.name] = self._started(peer, model)
        return self._peers[peer.name]

    def _started(self, peer: Peer, model: Path) -> Server | None:
        python = python_of(peer, self.environments)
        if python is None:
            self.missing[peer.name] = (
                f"{self.environments}-{peer.environment} is not there: `make bench-serve` makes it"
            )
            return None
        say(f"starting {peer.name}")
        try:
            server = self._stack.enter_context(
                peer.start(python, model, self.folder / f"peer-{len(self._peers)}-{peer.environment}")
            )
        except (RuntimeError, OSError) as error:
            self.missing[peer.name] = str(error)
            return None
        server.sleep()
        return server

    def compare(self, contestants: Sequence[tuple[str, Server, Call]], *, rounds: int | None = None) -> Rounds:
        """Every contestant once a round."""
        contestants = [one for one in contestants if self._warmed(*one)]
        found: Rounds = {name: [] for name, _, _ in contestants}
        for turn in range(rounds or self.rounds):
            # Back and forth, so that nobody always comes right after the same one.
            for name, server, call in contestants[:: 1 if turn % 2 == 0 else -1]:
                with server.awake():
                    found[name].append(measure(server, call, self.seconds))
                one = found[name][-1]
                say(f"round {turn + 1}: {name}: {one['rate']:,.0f} requests/s, p99 {one['p99_ms']:.2f} ms")
        return found

    def _warmed(self, name: str, server: Server, call: Call) -> bool:
        """Whether it answers, and answers well."""
        say(f"warming up {name}")
        try:
            with server.awake():
                measure(server, call, min(_WARM_SECONDS, self.seconds))
        except (RuntimeError, ValueError) as error:
            self.missing[name] = str(error)
            return False
        return True


def contestants(
    bench: Bench, peers: Sequence[Peer], model: Path, questions: Questions, size: int
) -> list[tuple[str, Server, Call]]:
    """The peers that can be measured, with how they are asked."""
    servers = [(peer, bench.peer(peer, model)) for peer in peers]
    return [(peer.name, server, peer.call(questions, size)) for peer, server in servers if server is not None]


def middle(found: Rounds) -> dict[str, dict[str, Any]]:
    """The median of every figure over the rounds."""
    figures = [figure for figure in _FIGURES if all(figure in one for rounds in found.values() for one in rounds)]
    return {
        name: {figure: median(one[figure] for one in rounds) for figure in figures} for name, rounds in found.items()
    }


def ratio(found: Rounds, one: str, other: str, figure: str = "rate") -> float | None:
    """One contestant's figure divided by another one's: the median over the rounds; None when one is missing."""
    if one not in found or other not in found:
        return None
    return median(a[figure] / b[figure] for a, b in zip(found[one], found[other], strict=True))


def say(text: str) -> None:
    """Progress, on the standard error."""
    sys.stderr.write(f"  {text}\n")
