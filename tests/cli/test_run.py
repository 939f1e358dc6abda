"""One store on which everything was really run, and the verbs that look at it or step in."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.cli.conftest import Typed, in_a_process, typed

ROWS = 2_000
START = datetime(2026, 1, 1, tzinfo=UTC)

LOOP = """
from sklearn.linear_model import LogisticRegression

from homeostat import FileSource, Loop, deploy, gates, when


def features(rows):
    return rows.drop("scheduled")


loop = Loop(
    name="flights",
    source=FileSource("flights/*.parquet", time="scheduled", key="flight_id", target="late", label_time="landed"),
    features=features,
    model=LogisticRegression(),
    gates=[gates.beats_champion()],
    deploy=deploy.Canary(shadow_rows=100, steps=(0.1,), step_rows=100, horizon=5_000),
    when=when.every("7d"),
)
"""


def flights(rows: int = ROWS, *, first: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(first)
    wind = rng.normal(10, 4, rows)
    scheduled = [START + timedelta(minutes=30 * (first + row)) for row in range(rows)]
    return pl.DataFrame(
        {
            "flight_id": [f"f{first + row}" for row in range(rows)],
            "scheduled": scheduled,
            "carrier": rng.choice(["AA", "UA", "B6"], rows),
            "wind": wind,
            "late": rng.random(rows) < 1 / (1 + np.exp(-(wind - 10))),
            "landed": [moment + timedelta(hours=2) for moment in scheduled],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one run behind it."""
    made = tmp_path_factory.mktemp("project")
    (made / "flights").mkdir()
    flights().write_parquet(made / "flights" / "a.parquet")
    (made / "loop.py").write_text(LOOP)
    first = in_a_process("run", "--json", "--user", "ann", cwd=made)
    assert first.code == 0, first.err
    (made / "first.json").write_text(first.out)
    return made


@pytest.fixture
def homeostat(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(folder)
    return lambda *arguments: typed(capsys, *arguments)


def first_run(folder: Path) -> dict:
    return json.loads((folder / "first.json").read_text())


def test_the_first_run_registers_and_crowns_version_1(folder: Path):
    facts = first_run(folder)
    assert facts["run"]["status"] == "succeeded"
    assert facts["version"]["version"] == 1
    assert facts["decided"]["action"] == "promote"
    assert {step["outcome"] for step in facts["steps"]} == {"ran"}


def test_status_versions_and_runs_agree(homeostat, folder: Path):
    run = first_run(folder)["run"]["run"]
    assert homeostat("status", "--json").json["champion"]["version"] == 1
    assert homeostat("versions", "--json").json[-1]["run"] == run
    assert homeostat("runs", "--json").json[-1]["run"] == run


def test_why_explains_the_run_its_steps_and_its_version(homeostat, folder: Path):
    run = first_run(folder)["run"]["run"]
    assert "by ann" in homeostat("why", run).out
    assert "model" in homeostat("why", f"{run}/model").out
    assert "It is the champion" in homeostat("why", "1").out


def test_the_store_is_whole(homeostat):
    answer = homeostat("verify", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["artifacts"] > 3
    assert answer.json["versions"] >= 1
    assert homeostat("doctor").code == 0


def test_a_flipped_byte_is_found(folder: Path, tmp_path: Path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    largest = max((copy / ".homeostat" / "artifacts").rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(data)
    answer = in_a_process("verify", cwd=copy)
    assert answer.code == 1
    assert answer.err.startswith("error: the store is not what was written")


def test_infer_answers_a_table_and_refuses_a_bad_one_whole(homeostat, folder: Path):
    march = flights(50, first=ROWS).drop("late", "landed")
    march.write_parquet(folder / "march.parquet")
    made = homeostat("infer", "march.parquet", "--output", "out.parquet", "--json")
    assert made.code == 0, made.err
    assert made.json["rows"] == 50
    assert pl.read_parquet(folder / "out.parquet")["flight_id"].to_list() == march["flight_id"].to_list()
    march.drop("wind").write_parquet(folder / "bad.parquet")
    bad = homeostat("infer", "bad.parquet", "--output", "bad-out.parquet")
    assert bad.code == 2
    assert "'wind' is missing" in bad.err
    assert not (folder / "bad-out.parquet").exists()


def test_promoting_the_champion_again_is_refused_with_its_reason(homeostat):
    answer = homeostat("promote", "1", "--reason", "again")
    assert answer.code == 2
    assert answer.err.startswith("error: version 1 is the champion already")


def test_going_back_without_an_earlier_champion_is_refused(homeostat):
    answer = homeostat("rollback", "--reason", "try")
    assert answer.code == 2
    assert "earlier champion to go back to" in answer.err


def test_cancelling_nothing_is_refused(homeostat):
    answer = homeostat("cancel", "--reason", "try")
    assert answer.code == 2
    assert "nothing is in flight" in answer.err


@pytest.mark.parametrize("verb", [["retrain"], ["promote", "1"], ["rollback"], ["cancel"]])
def test_people_have_to_give_a_reason(homeostat, verb: list[str]):
    answer = homeostat(*verb)
    assert answer.code == 2
    assert "--reason" in answer.err


def test_a_run_that_changes_nothing_is_taken_from_the_cache_and_its_tie_is_refused(homeostat):
    again = homeostat("retrain", "--reason", "to see", "--user", "bob")
    assert again.code == 0, again.err
    assert "hit" in again.out
    version = homeostat("versions", "--json").json[0]
    assert version["state"] == "refused"
    assert version["trigger"]["user"] == "bob"
    assert homeostat("status", "--json").json["champion"]["version"] == 1


def test_replay_compares_policies_and_draws(homeostat, folder: Path):
    found = homeostat("replay", "--block", "7d", "--picture", "replay.png", "--json")
    assert found.code == 0, found.err
    assert {"never", "every 7d"} <= {one["name"] for one in found.json["results"]}
    assert all(one["report"]["persistence"] is not None for one in found.json["results"])
    assert (folder / "replay.png").read_bytes().startswith(b"\x89PNG")


def test_replay_compares_windows_to_learn_from(homeostat):
    found = homeostat("replay", "--windows", "all,14d", "--block", "7d", "--json")
    assert found.code == 0, found.err
    assert found.json["reports"].keys() == {"all", "14d"}
    assert len({one["rows"] for one in found.json["reports"].values()}) == 1
    assert "14d" in homeostat("replay", "--windows", "all,14d", "--block", "7d").out


def test_the_replay_table_holds_every_policy_against_persistence(homeostat):
    shown = homeostat("replay", "--block", "7d", "--picture", "replay.svg")
    assert shown.code == 0, shown.err
    header = next(line for line in shown.out.splitlines() if "policy" in line)
    assert {"persistence", "kappa_per"} <= set(header.split())


def bad_project(folder: Path, rows: pl.DataFrame | str, loop: str = LOOP) -> None:
    (folder / "flights").mkdir()
    if isinstance(rows, str):
        (folder / "flights" / "a.csv").write_text(rows)
        loop = loop.replace("*.parquet", "*.csv")
    else:
        rows.write_parquet(folder / "flights" / "a.parquet")
    (folder / "loop.py").write_text(loop)


ONE_CLASS = flights(200).with_columns(pl.lit(value=True).alias("late"))
NO_LABEL = flights(200).with_columns(pl.lit(None, pl.Boolean).alias("late"))
BACKWARDS = flights(200).with_columns(pl.col("scheduled").dt.offset_by("-1h").alias("landed"))
OTHER_COUNT = LOOP.replace('rows.drop("scheduled")', 'rows.drop("scheduled").head(3)')
NO_FIT = LOOP.replace("LogisticRegression()", "object()")
FAILING = LOOP.replace('rows.drop("scheduled")', "1 / 0")


@pytest.mark.parametrize(
    ("rows", "loop", "code", "said"),
    [
        (ONE_CLASS, LOOP, 2, "late"),
        (NO_LABEL, LOOP, 2, "none of the 200 rows has a label"),
        (BACKWARDS, LOOP, 2, "'landed' is before"),
        ("", LOOP, 2, "a.csv"),
        ("flight_id,scheduled,carrier,wind,late,landed\n", LOOP, 2, "no rows"),
        (flights(200), OTHER_COUNT, 2, "features"),
        (flights(200), NO_FIT, 2, "has no fit"),
    ],
    ids=["one class", "no label", "label before event", "empty", "header only", "other row count", "no fit"],
)
def test_bad_input_is_one_clear_error(tmp_path: Path, monkeypatch, capsys, rows, loop, code, said):
    bad_project(tmp_path, rows, loop)
    monkeypatch.chdir(tmp_path)
    answer: Typed = typed(capsys, "run")
    assert answer.code == code
    assert answer.err.startswith("error: ")
    assert said in answer.err
    assert "Traceback" not in answer.err + answer.out


def test_a_store_without_permission_is_refused(tmp_path: Path, monkeypatch, capsys):
    bad_project(tmp_path, flights(200))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").write_text("a file in the way")
    answer = typed(capsys, "run", "--store", "store/below")
    assert answer.code == 2
    assert "cannot be written" in answer.err


@pytest.mark.crash
def test_a_run_killed_midway_is_gone_on_with(tmp_path: Path):
    bad_project(tmp_path, flights())
    killed = in_a_process("run", cwd=tmp_path, HOMEOSTAT_CRASH_AT="step.after_record:4")
    assert killed.code == -9
    resumed = in_a_process("run", "--json", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    facts = resumed.json
    assert facts["version"]["version"] == 1
    assert "hit" in {step["outcome"] for step in facts["steps"]}
    assert os.environ.get("HOMEOSTAT_CRASH_AT") is None
