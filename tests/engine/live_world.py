"""A small world for a live loop: rows whose concept changes, a real server, real training, labels an hour late."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import polars as pl

START = datetime(2026, 1, 1, tzinfo=UTC)
BEGIN = START + timedelta(days=20)
PER_DAY = 240
LOOP = """
import polars as pl
from sklearn.linear_model import LogisticRegression
from homeostat import FileSource, Loop, deploy, gates, how, when, where

def features(rows):
    return rows.select("x", "kind", hour=pl.col("at").dt.hour())

loop = Loop(
    name="world",
    source=FileSource("{folder}/history.parquet", time="at", key="id", target="y", label_time="known"),
    features=features,
    model=LogisticRegression(),
    metric="roc_auc",
    gates=[gates.not_worse_than_champion(margin=0.02)],
    deploy=deploy.Canary(shadow_rows=100, steps=(0.2, 0.5), step_rows=100, horizon=3_000, margin=0.02),
    when={when},
    where=where.{where}(),
    how=how.Refit(window="4d"),
    test="1d",
    observe="6h",
)
"""


def rows_of(days: range, *, changed: bool = False, seed: int = 0) -> pl.DataFrame:
    """Rows of some days: `y` follows `x`, and after the change it follows `kind`."""
    random = np.random.default_rng([seed, days.start, days.stop])
    count = PER_DAY * len(days)
    first = START + timedelta(days=days.start)
    at = [first + timedelta(days=1) * place / PER_DAY for place in range(count)]
    x, kind = random.normal(size=count), random.integers(0, 2, count)
    strength = 3 * (2 * kind - 1) if changed else 2 * x
    y = random.random(count) < 1 / (1 + np.exp(-strength))
    return pl.DataFrame(
        {
            "id": [f"r{days.start}-{place}" for place in range(count)],
            "at": at,
            "x": x,
            "kind": np.where(kind == 1, "b", "a"),
            "y": y.astype(int),
            "known": [moment + timedelta(hours=1) for moment in at],
        }
    )


def write_world(folder: Path, *, policy: str = 'when.every("3d")', where: str = "Local") -> Path:
    """The loop's file and its history; gives the file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows_of(range(20)).write_parquet(folder / "history.parquet")
    file = folder / "loop.py"
    file.write_text(LOOP.format(folder=folder, when=policy, where=where))
    return file


class Caller:
    """Somebody who asks the server, at times of the test's choosing."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)

    def post(self, path: str, body: Any, now: datetime) -> Any:
        """Send JSON at a time; gives the decoded answer."""
        headers = {"content-type": "application/json", "homeostat-time": now.isoformat()}
        self._connection.request("POST", path, json.dumps(body), headers)
        reply = self._connection.getresponse()
        answer = json.loads(reply.read())
        assert reply.status == 200, answer
        return answer

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def predict(self, rows: pl.DataFrame, now: datetime) -> list[dict[str, Any]]:
        """Ask about rows in one request."""
        plain = rows.select("id", "x", "kind", at=pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
        answer = self.post("/predict", {"records": plain.to_dicts()}, now)
        return list(answer["predictions"])

    def label(self, rows: pl.DataFrame, now: datetime) -> None:
        """Tell what rows turned out to be."""
        items = [
            {"id": row["id"], "label": row["y"], "time": row["known"].isoformat()} for row in rows.iter_rows(named=True)
        ]
        self.post("/labels", items, now)
