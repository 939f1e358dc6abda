"""Words that make no sense: versions, runs, verbs, options and tables that are not there."""

from __future__ import annotations

import socket
from pathlib import Path

import polars as pl
import pytest

from tests.cli.bad import LOOP, Verb, csv, refused, rides, works, write
from tests.cli.conftest import Typed, typed


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture
def homeostat(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verb:
    """Run `homeostat` on one project with one version."""
    monkeypatch.chdir(project)

    def run(*arguments: str) -> Typed:
        return typed(capsys, *arguments)

    if not (project / "loop.py").exists():
        write(project, data=csv(rides(800)))
        works(run)
    return run


UNKNOWN: dict[str, tuple[list[str], list[str]]] = {
    "promote 99": (["promote", "99", "--reason", "x"], ["version 99 is not registered"]),
    "why version": (["why", "v17"], ["loop 'rides' has no version 17", "homeostat versions"]),
    "why event": (["why", "@9999"], ["no event 9999", "the newest is"]),
    "why run": (["why", "run-nope"], ["no run begins with 'run-nope'", "homeostat runs"]),
    "why nonsense": (["why", "everything"], ["no run begins with 'everything'", "'last'"]),
    "why nothing": (["why", ""], ["nothing was asked for", "'last'"]),
    "rollback": (["rollback", "--reason", "x"], ["earlier champion"]),
    "rollback 7": (["rollback", "7", "--reason", "x"], ["earlier champion"]),
    "cancel": (["cancel", "--reason", "x"], ["nothing is in flight"]),
    "resume": (["run", "--resume", "run-nope"], ["no run begins with 'run-nope'", "homeostat runs"]),
    "loop": (["status", "--loop", "boats"], ["'boats' is neither a file nor a loop", "loops: rides"]),
    "infer nowhere": (["infer", "nope.csv"], ["there is no table 'nope.csv'"]),
    "infer code": (["infer", "loop.py"], ["'loop.py' is no table", ".parquet"]),
    "infer version": (["infer", "rides.csv", "--version", "7"], ["no version 7", "homeostat versions"]),
    "init target": (["init", "rides.csv", "--target", "lat", "--force"], ["no column 'lat'; did you mean 'late'?"]),
    "init again": (["init", "rides.csv", "--target", "late"], ["loop.py is there already", "--force"]),
    "replay block": (["replay", "--block", "often"], ["'often' is not a length of time", "as in '7d'"]),
    "replay warm-up": (["replay", "--warmup", "5"], ["a warm-up of 5 is no share", "'60d'"]),
    "replay picture": (["replay", "--picture", "replay.doc"], ["replay.doc", ".svg"]),
    "port": (["up", "--host", "192.0.2.1", "--port", "0"], ["192.0.2.1 is not loopback", "HOMEOSTAT_TOKEN"]),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_not_there_is_named_and_nothing_changes(case: str, homeostat: Verb, project: Path) -> None:
    words, said = UNKNOWN[case]
    refused(homeostat(*words), *said)
    assert homeostat("status", "--json").json["champion"]["version"] == 1
    assert [row["version"] for row in homeostat("versions", "--json").json] == [1]
    assert (project / "loop.py").read_text() == LOOP
    assert not (project / "predictions.parquet").exists()
    assert homeostat("verify").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["versoins"], "'versions'"),
        (["run", "--nope"], "--nope"),
        (["promote", "one", "--reason", "x"], "version"),
        (["runs", "--limit", "0"], "--limit"),
        (["up", "--port", "99999"], "--port"),
        (["infer"], "TABLE"),
        (["retrain"], "--reason"),
    ],
)
def test_a_command_that_cannot_be_parsed_says_which_part(words: list[str], said: str, homeostat: Verb) -> None:
    answer = homeostat(*words)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("Error: ") == 1
    assert "Traceback" not in answer.err


ASK = rides(20).drop("late", "done")
BATCHES: dict[str, tuple[pl.DataFrame, list[str]]] = {
    "missing": (ASK.drop("wind"), ["column 'wind' is missing"]),
    "unexpected": (ASK.with_columns(rain=1.0), ["column 'rain' is unexpected"]),
    "mistyped": (ASK.with_columns(wind=pl.lit("strong")), ["column 'wind' should be a number", "'strong'", "row 1"]),
    "two at once": (ASK.drop("carrier").with_columns(wind=pl.lit("x")), ["'carrier' is missing", "'wind' should be"]),
    "NaN": (ASK.with_columns(wind=pl.lit(float("nan"))), ["'wind' holds nan", "write null"]),
    "no rows": (ASK.clear(), ["has no rows"]),
}


@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_that_does_not_fit_gets_no_predictions(case: str, homeostat: Verb, project: Path) -> None:
    rows, said = BATCHES[case]
    rows.write_parquet(project / "ask.parquet")
    refused(homeostat("infer", "ask.parquet", "--output", "out.parquet"), *said)
    assert not (project / "out.parquet").exists()
    assert not list(project.glob(".out*"))


def test_a_port_that_is_taken_is_told_before_anything_else(homeostat: Verb) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(homeostat("up", "--port", port), f"127.0.0.1:{port} cannot be had", "choose another port")
    status = homeostat("status", "--json").json
    assert status["in_charge"] is None
