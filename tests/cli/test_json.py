"""What a verb prints with `--json` is the value that the engine gives, whole: no fact is made by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from homeostat.cd.labels.files import Delivered
from homeostat.cd.stream.run import Streamed
from homeostat.cli import verbs
from homeostat.core.events import Decided, RowsRemoved
from homeostat.core.ledger.anchor import Anchor, anchor_of
from homeostat.core.ledger.rows import RunRow
from homeostat.core.store import Store
from homeostat.engine import requests
from homeostat.engine.replay import Replay
from homeostat.engine.scaffold.propose import Proposed
from homeostat.engine.table.remove import Selection
from homeostat.engine.training.batch import InferredBy
from homeostat.engine.training.here import train_here
from homeostat.engine.views.card import Card, card_of
from homeostat.engine.views.checkup import Check, checkup
from homeostat.engine.views.integrity import Verified, verify_store
from homeostat.engine.views.rows import RowsFound, rows
from homeostat.engine.views.runs import RunReport, runs
from homeostat.engine.views.status import Status, status
from homeostat.engine.views.versions import VersionFacts, versions
from homeostat.engine.views.why import Why, why
from homeostat.loop import load_loop
from tests.cli.conftest import Typed, typed
from tests.engine.live_world import write_world

pytestmark = pytest.mark.slow
REASON = ["--reason", "test", "--user", "ann"]
LOOP = ["--loop", "loop.py"]

KINDS: dict[str, tuple[list[str], Any]] = {
    "run": (LOOP, RunReport),
    "retrain": ([*REASON, *LOOP], RunReport),
    "status": ([], Status),
    "runs": ([], list[RunRow]),
    "versions": ([], list[VersionFacts]),
    "why": (["1"], Why),
    "card": (["1"], Card),
    "rows": (["--where", "x > 0", *LOOP], RowsFound),
    "verify": ([], Verified),
    "anchor": ([], Anchor),
    "doctor": (LOOP, list[Check]),
    "promote": (["1", *REASON, *LOOP], list[Decided]),
    "rollback": ([*REASON, *LOOP], list[Decided]),
    "cancel": ([*REASON, *LOOP], list[Decided]),
    "accept-schema": ([*REASON, *LOOP], requests.Accepted),
    "export": (["1", "exported", *LOOP], requests.ExportedVersion),
    "infer": (["history.parquet", *LOOP], InferredBy),
    "labels": (["labels.csv", *LOOP, "--dry-run"], Delivered),
    "stream": (["rows.jsonl", "--output", "answers.jsonl", "--once", *LOOP], Streamed),
    "replay": ([*LOOP, "--block", "2d", "--warmup", "8d"], Replay),
    "init": (["history.parquet", "--target", "y", "--output", "written.py"], Proposed),
}
ELSEWHERE = {
    "demo": "takes minutes",
    "up": "runs until it is stopped; it prints the ledger's own records",
    "serve": "runs until it is stopped",
    "package": "says which files it wrote",
    "judge": "needs a trial",
    "explain": "needs an answered row",
    "import": "is typed below",
}
VIEWS: dict[str, Callable[[Store], Any]] = {
    "status": lambda store: status(store, "world"),
    "runs": lambda store: runs(store.ledger, "world", 20),
    "versions": lambda store: versions(store.ledger, "world", 20),
    "why": lambda store: why(store.ledger, "world", "1"),
    "card": lambda store: card_of(store, "world", 1),
    "rows": lambda store: rows(store, load_loop(Path("loop.py")), Selection(where="x > 0")),
    "verify": lambda store: verify_store(store.path),
    "anchor": lambda store: anchor_of(store.ledger),
    "doctor": lambda store: list(checkup(store.path, Path("loop.py"))),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop with a champion, and files for the verbs that take some."""
    folder = tmp_path_factory.mktemp("world")
    file = write_world(folder, policy="when.never()")
    file.write_text(file.read_text().replace('how.Refit(window="4d")', "how.Refit()"))
    there = pl.read_parquet(folder / "history.parquet").head(20)
    there.select("id", "y").write_csv(folder / "labels.csv")
    times = pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    there.select("id", "x", "kind", times).write_ndjson(folder / "rows.jsonl")
    loop = load_loop(file)
    store = Store.open(folder / ".homeostat")
    requests.run(store, loop, user="ann", reason="test")
    train_here(store, loop)
    assert store.ledger.champion("world") is not None
    return folder


def test_every_verb_is_here_or_says_why_not() -> None:
    assert set(KINDS) | set(ELSEWHERE) == verbs()
    assert not set(KINDS) & set(ELSEWHERE)


@pytest.mark.parametrize("verb", KINDS)
def test_the_json_of_a_verb_is_a_value_of_the_engine_neither_more_nor_less(
    verb: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    arguments, kind = KINDS[verb]
    answer: Typed = typed(capsys, verb, *arguments, "--json")
    assert answer.out, answer.err
    value = msgspec.json.decode(answer.out, type=kind)
    assert json.loads(msgspec.json.encode(value)) == answer.json


@pytest.mark.parametrize("verb", VIEWS)
def test_the_json_of_a_verb_that_looks_is_what_its_view_gives(
    verb: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    store = Store.open(Path(".homeostat"), create=False)
    answer: Typed = typed(capsys, verb, *KINDS[verb][0], "--json")
    assert answer.json == json.loads(msgspec.json.encode(VIEWS[verb](store)))


def test_rows_that_are_taken_out_and_a_version_that_comes_in_are_values_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    first = typed(capsys, "rows", "--remove", "--where", "x > 2.5", *REASON, *LOOP, "--json")
    removed = msgspec.json.decode(first.out, type=RowsRemoved)
    assert (removed.user, removed.reason) == ("ann", "test")
    assert typed(capsys, "export", "1", str(tmp_path / "v1"), *LOOP).code == 0
    second = typed(capsys, "import", str(tmp_path / "v1"), *LOOP, "--store", str(tmp_path / "other"), "--json")
    imported = msgspec.json.decode(second.out, type=requests.ImportedVersion)
    assert json.loads(msgspec.json.encode(imported)) == second.json
    assert (imported.loop, imported.version) == ("world", 1)
