"""The scenario of `test_crash_run.py`: a run is killed at every passage of every point, then resumed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeostat.ci.pipeline import Pipeline, mark_interrupted
from homeostat.core import events as ev
from homeostat.core.clock import SystemClock
from homeostat.core.store import Store
from tests.crash_harness import in_child, passages

POINTS = (
    "run.started",
    "step.before_artifact",
    "artifact.before_rename",
    "artifact.after_rename",
    "step.after_record",
    "run.before_finish",
)


def rows(source):
    return [{"n": n, "late": n % 3 == 0} for n in range(source)]


def clean(rows, *, low=1):
    return [row for row in rows if row["n"] >= low]


def statistics(rows):
    return {"rows": len(rows), "mean": sum(row["n"] for row in rows) / len(rows)}


def train(clean, statistics, *, rate=0.5):
    return {"weight": rate * sum(row["late"] for row in clean) / statistics["rows"]}


def evaluate(train, clean):
    return {"loss": sum((row["late"] - train["weight"]) ** 2 for row in clean)}


PIPELINES = {"diamond": Pipeline(rows, clean, statistics, train, evaluate), "chain": Pipeline(rows, clean)}


@dataclass(frozen=True)
class Case:
    """A pipeline, the store it starts from, and the settings of the killed run."""

    name: str
    pipeline: str
    before: Path
    settings: dict[str, Any]

    def run(self, folder: Path, resume: str | None = None) -> dict[str, Any]:
        """Run to the end in this process."""
        pipeline = PIPELINES[self.pipeline]
        inputs = {} if resume else {"source": 20}
        settings = {} if resume else self.settings
        store = Store.open(folder)
        finished = pipeline.run(store, loop="x", inputs=inputs, settings=settings, resume=resume)
        steps = {each.event.step: each.event.outcome for each in store.ledger.steps(finished.id)}
        return {"run": finished.id, "outputs": finished.outputs, "outcomes": steps}

    def recover(self, folder: Path) -> dict[str, Any]:
        """What the next start does: close the record of the dead run, then go on with it."""
        store = Store.open(folder)
        known = {row.run for row in Store.open(self.before).ledger.runs()}
        closed = mark_interrupted(store, SystemClock())
        begun = [row for row in store.ledger.runs("x") if row.run not in known]
        assert [row.status for row in begun if row.run in closed] == ["interrupted"] * len(closed)
        recorded = {}
        if closed:
            recorded = {each.event.step: each.event.outcome for each in store.ledger.steps(closed[0])}
        result = self.run(folder, resume=closed[0] if closed else None)
        result["recorded"] = recorded
        store.ledger.verify()
        names = list(store.artifacts.blobs.keys())
        result["artifacts"] = sorted(names)
        for name in names:
            store.artifacts.get(name)
        statuses = [row.status for row in store.ledger.runs("x")]
        assert "running" not in statuses, statuses
        ends = list(store.ledger.events(loop="x", kinds=(ev.RunFinished,)))
        assert len(ends) == len(statuses)
        return result


def kill_everywhere(folder: str) -> dict[str, Any]:
    """Kill every case at every passage of every point, singly and then again during the recovery."""
    root = Path(folder)
    fresh = root / "fresh"
    in_child(lambda: Store.open(fresh).close())
    warm = root / "warm"
    shutil.copytree(fresh, warm)
    in_child(lambda: Case("", "diamond", warm, {}).run(warm) and None)
    cases = [
        Case("a first run", "diamond", fresh, {}),
        Case("a rerun", "diamond", warm, {"clean.low": 3}),
        Case("a short run", "chain", fresh, {}),
    ]
    report: dict[str, Any] = {"kills": {}, "problems": []}
    for case in cases:
        clean_folder = root / f"clean {case.name}"
        shutil.copytree(case.before, clean_folder)
        expected = in_child(lambda case=case, at=clean_folder: case.recover(at)).value
        for point in POINTS:
            kills = passages(
                lambda at, case=case, expected=expected: _kill(root, case, at, "", expected, report), point
            )
            report["kills"][f"{case.name}, {point}"] = kills
    first = cases[0]
    expected = in_child(lambda: first.recover(root / f"clean {first.name}")).value
    for point in POINTS:
        for again in POINTS:
            _kill(root, first, f"{point}:1", f"{again}:1", expected, report)
    return report


def _kill(root: Path, case: Case, point: str, again: str, expected: dict[str, Any], report: dict[str, Any]) -> bool:
    """Kill a run at a point, and its recovery at another, recover, and compare with a run that nobody killed."""
    folder = root / "store"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case.before, folder)
    if not in_child(lambda: case.run(folder), point).killed:
        return False
    # A recovery that finds everything done never comes to the point where a step stores its result.
    if again and in_child(lambda: case.recover(folder), again).killed:
        report["kills"][f"{point} and again at {again}"] = 2
    got = in_child(lambda: case.recover(folder)).value
    problems = []
    if got["outputs"] != expected["outputs"]:
        problems.append("the outputs differ from those of a run that nobody killed")
    if got["artifacts"] != expected["artifacts"]:
        problems.append("the artifacts differ from those of a run that nobody killed")
    repeated = [
        step for step, outcome in got["recorded"].items() if outcome == "ran" and got["outcomes"][step] != "hit"
    ]
    if repeated:
        problems.append(f"{', '.join(repeated)} ran again although recorded")
    name, _, passage = point.partition(":")
    if name == "step.after_record" and not again and len(got["recorded"]) != int(passage):
        problems.append(f"{len(got['recorded'])} records were kept, not {passage}")
    report["problems"] += [f"{case.name}, {point} {again}: {problem}" for problem in problems]
    return True
