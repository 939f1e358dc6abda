"""A small project to spoil in one place, and what every refusal of the command line has in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from homeostat.core.ledger import Ledger
from tests.cli.conftest import Typed

ROWS = 300
START = datetime(2026, 1, 1, tzinfo=UTC)
LOOP = """\
import polars as pl
from sklearn.linear_model import LogisticRegression

from homeostat import FileSource, Loop, deploy, gates, when


def features(rows):
    return rows.drop("at")


loop = Loop(
    name="rides",
    source=FileSource("rides.csv", time="at", key="ride", target="late", label_time="done"),
    features=features,
    model=LogisticRegression(),
    gates=[gates.beats_champion()],
    when=when.every("7d"),
)
"""
Verb = Callable[..., Typed]


def rides(rows: int = ROWS) -> pl.DataFrame:
    """Rides, half an hour apart, of which windy ones are late; known two hours later."""
    rng = np.random.default_rng(0)
    wind = rng.normal(10, 4, rows).round(3)
    at = [START + timedelta(minutes=30 * row) for row in range(rows)]
    return pl.DataFrame(
        {
            "ride": [f"r{row}" for row in range(rows)],
            "at": at,
            "carrier": rng.choice(["AA", "UA"], rows),
            "wind": wind,
            "late": (rng.random(rows) < 1 / (1 + np.exp(10 - wind))).astype(int),
            "done": [moment + timedelta(hours=2) for moment in at],
        }
    )


def csv(rows: pl.DataFrame) -> str:
    """Rows as a person's CSV file."""
    return rows.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ")


def at(fragment: str) -> str:
    """The line of the good declaration that a message should name."""
    return f"loop.py, line {LOOP[: LOOP.index(fragment)].count(chr(10)) + 1}"


def write(folder: Path, *, loop: str | None = LOOP, data: str | None = None) -> None:
    """A project in a folder; None leaves a file out."""
    (folder / "rides.csv").write_text(csv(rides()) if data is None else data)
    if loop is not None:
        (folder / "loop.py").write_text(loop)


def refused(answer: Typed, *words: str, code: int = 2) -> None:
    """One clear error that names the thing and what to do; nothing else, and no traceback."""
    assert answer.code == code, answer.err
    assert answer.err.startswith("error: "), answer.err
    assert len(re.findall("^error: ", answer.err, re.MULTILINE)) == 1, answer.err
    assert "\nhint: " in answer.err or "; " in answer.err, answer.err
    assert all(word in answer.err for word in words), answer.err
    assert "Traceback" not in answer.out + answer.err
    assert "fault in Homeostat" not in answer.err


def nothing_happened(folder: Path) -> None:
    """No version, no champion, no run that goes on, and a ledger whose chain is whole."""
    if not (folder / ".homeostat" / "ledger.sqlite").exists():
        return
    ledger = Ledger.open(folder / ".homeostat" / "ledger.sqlite")
    ledger.verify()
    assert ledger.versions("rides") == []
    assert ledger.champion("rides") is None
    assert all(row.status != "running" for row in ledger.runs("rides"))
    ledger.close()


def works(homeostat: Verb) -> None:
    """A run registers a first version."""
    mended = homeostat("run", "--json")
    assert mended.code == 0, mended.err
    assert mended.json["version"]["version"] == 1
