"""The scenario of `test_crash_life.py`: a loop's life from first model to roll-back, killed anywhere, started again.

The life is what the live loop does with its ledger, on values that need no table: take charge, carry out the run in
flight, register, promote, retrain, promote, roll back. Whoever starts it folds the ledger and goes on.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from homeostat.cd.deploy import Canary
from homeostat.ci.pipeline import Pipeline, mark_interrupted
from homeostat.core import events as ev
from homeostat.core.clock import SystemClock
from homeostat.core.crash_points import POINTS
from homeostat.core.store import Store
from homeostat.ct import when
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from tests.crash_harness import in_child, passages

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(loop="life", when=when.never(), deploy=Canary())
GATES = (ev.GateResult(gate="sound", passed=True, reason="finite", numbers={}),)


def rows(trigger):
    return list(range(len(trigger)))


def model(rows):
    return {"weight": sum(rows)}


PIPELINE = Pipeline(rows, model)


def live(folder: Path) -> dict[str, Any]:
    """Go on with the life until its end; gives what an observer sees then."""
    store = Store.open(folder)
    feed = Feed(store.ledger, RULES)
    mark_interrupted(store, SystemClock(), loop="life")
    feed.give(ev.LoopStarted(loop="life", who="test", declaration="0"), time=NOW)
    _carry_out(store, feed)
    feed.give(ev.RetrainRequested(loop="life", user="ann", reason="r", request="1"), time=NOW, key="request/1")
    _carry_out(store, feed)
    feed.give(ev.PromotionRequested(loop="life", version=2, user="ann", reason="r"), time=NOW, key="request/2")
    feed.give(ev.RollbackRequested(loop="life", version=1, user="ann", reason="r"), time=NOW, key="request/3")
    return seen(folder)


def _carry_out(store: Store, feed: Feed) -> None:
    trigger = feed.catch_up().inflight
    if trigger is None:
        return
    run = PIPELINE.run(store, loop="life", trigger=trigger, inputs={"trigger": trigger.key})
    entry = ev.VersionRegistered(
        loop="life",
        version=0,
        run=run.id,
        trigger=trigger,
        manifest=run.outputs["model"],
        parent=None,
        train_metrics={"auc": 1.0},
        test_metrics={"auc": 1.0},
        gates=GATES,
        how="refit",
        trained_rows=1,
        trainable=1,
        window_start=None,
        window_end=None,
    )
    feed.register(entry, time=NOW)


def seen(folder: Path) -> dict[str, Any]:
    """What an observer finds in the store, and what must hold at every moment."""
    store = Store.open(folder)
    ledger = store.ledger
    ledger.verify()
    champion = ledger.champion("life")
    promoted = any(True for _ in ledger.events(kinds=(ev.Promoted,)))
    versions = {row.version: row.state for row in ledger.versions("life")}
    crowned = [version for version, state in versions.items() if state == "champion"]
    triggers = [row.trigger for row in ledger.versions("life")]
    problems = []
    if promoted and (champion is None or crowned != [champion.version]):
        problems.append(f"champion {champion}, states {versions}")
    if len(set(triggers)) != len(triggers):
        problems.append(f"a trigger registered twice: {triggers}")
    arms = ledger.arms("life")
    if champion is not None and (arms is None or champion.version not in {arm.version for arm in arms.event.arms}):
        problems.append("the division of traffic has no champion")
    before = _status(folder)
    ledger.rebuild()
    if _status(folder) != before:
        problems.append("the status tables do not follow from the events")
    return {"problems": problems, "versions": versions, "champion": champion.version if champion else None}


def _status(folder: Path) -> list[Any]:
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        tables = ("champions", "versions")
        return [connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in tables]


@contextmanager
def _in_memory() -> Iterator[Path]:
    """A folder for stores: a killed process loses nothing that it wrote, synced or not, so they may lie in memory."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def kill_everywhere() -> dict[str, Any]:
    """Kill the life at every passage of every point, and its recovery at every point."""
    with _in_memory() as root:
        return _kill_everywhere(root)


def chaos(seeds: int) -> list[dict[str, Any]]:
    """Kill a life at points drawn from a seed; twice for every seed, so that the two can be compared."""
    with _in_memory() as root:
        return [{"seed": seed, "first": _draw(root, seed), "again": _draw(root, seed)} for seed in range(int(seeds))]


def _draw(root: Path, seed: int) -> dict[str, Any]:
    random = Random(seed)
    folder = root / "store"
    shutil.rmtree(folder, ignore_errors=True)
    kills, problems = [], []
    for _ in range(4):
        at = f"{random.choice(POINTS)}:{random.randint(1, 3)}"
        if in_child(lambda at=at: live(folder), at).killed:
            kills.append(at)
            problems += in_child(lambda: seen(folder)).value["problems"]
    end = in_child(lambda: live(folder)).value
    return {"kills": kills, "problems": problems + end["problems"], "end": end, "trace": _trace(folder)}


def _trace(folder: Path) -> list[list[Any]]:
    """What happened, without the names of runs, which are drawn anew each time."""
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        return [list(row) for row in connection.execute("SELECT seq, kind, cause FROM events ORDER BY seq")]


def _kill_everywhere(root: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"kills": {}, "problems": []}
    expected = in_child(lambda: live(root / "whole")).value
    report["expected"] = expected
    for point in POINTS:
        report["kills"][point] = passages(lambda at: _kill(root, [at], expected, report), point)
    for first in POINTS[-4:]:
        for second in POINTS:
            again = _kill(root, [f"{first}:1", f"{second}:1"], expected, report)
            report["kills"][f"{first}, then {second}"] = 2 * again
    return report


def _kill(root: Path, points: list[str], expected: dict[str, Any], report: dict[str, Any]) -> bool:
    """Kill at each point in turn, look, start again, and compare the end with that of a life nobody disturbed."""
    folder = root / "store"
    shutil.rmtree(folder, ignore_errors=True)
    for point in points:
        if not in_child(lambda: live(folder), point).killed:
            return False
        report["problems"] += [f"{points}: {problem}" for problem in in_child(lambda: seen(folder)).value["problems"]]
    got = in_child(lambda: live(folder)).value
    if got != expected:
        report["problems"].append(f"{points}: {got} instead of {expected}")
    return True
