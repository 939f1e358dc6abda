from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homeostat import load_loop
from homeostat.engine.scaffold.guess import guess
from homeostat.engine.scaffold.survey import survey

ROWS = 400


@pytest.fixture
def flights() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    scheduled = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=3 * hour) for hour in range(ROWS)]
    delay = rng.normal(5, 20, ROWS)
    return pl.DataFrame(
        {
            "flight_id": [f"f{number}" for number in range(ROWS)],
            "scheduled": scheduled,
            "landed": [moment + timedelta(hours=2) for moment in scheduled],
            "carrier": rng.choice(["AA", "UA", "DL"], ROWS),
            "distance": rng.integers(100, 2_000, ROWS),
            "arr_delay": delay,
            "late": delay > 15,
        }
    )


def test_what_the_columns_mean_is_guessed_with_reasons(flights: pl.DataFrame):
    found = guess(survey([("flights", flights)]), "late")
    assert found.time.columns == ("scheduled",)
    assert found.key.columns == ("flight_id",)
    assert found.label_time.columns == ("landed",)
    assert (found.task, found.metric) == ("classification", "roc_auc")
    assert all(part.why for part in (found.time, found.key, found.label_time))


def test_a_column_that_tells_the_target_is_left_out_of_the_features(flights: pl.DataFrame):
    assert list(guess(survey([("flights", flights)]), "late").leaks) == ["arr_delay"]


def test_what_is_given_is_not_guessed(flights: pl.DataFrame):
    found = guess(
        survey([("flights", flights)]), "late", time="landed", key=("flight_id", "carrier"), label_time="scheduled"
    )
    assert (found.time.columns, found.label_time.columns) == (("landed",), ("scheduled",))
    assert found.key.columns == ("flight_id", "carrier")
    assert found.time.why == "as you said"


def test_init_tells_programs_what_it_guessed(homeostat, flights: pl.DataFrame, tmp_path: Path):
    flights.write_parquet(tmp_path / "flights.parquet")
    told = homeostat("init", "flights.parquet", "--target", "late", "--json").json
    assert (told["file"], told["loop"], told["task"]) == ("loop.py", "flights-late", "classification")
    assert told["time"]["columns"] == ["scheduled"]
    assert told["label_time"]["why"]
    assert list(told["left_out"]) == ["arr_delay"]


def test_init_writes_a_loop_that_loads(homeostat, flights: pl.DataFrame, tmp_path: Path):
    flights.write_parquet(tmp_path / "flights.parquet")
    answer = homeostat("init", "flights.parquet", "--target", "late")
    assert answer.code == 0, answer.err
    loop = load_loop(tmp_path / "loop.py")
    assert loop.name == "flights-late"
    assert loop.source.spec.declared == ("scheduled", "flight_id", "late", "landed")
    assert loop.form.ignored == ("arr_delay",)
    assert "the only" in answer.out or "called so" in answer.out


def test_init_reads_csv_with_times_as_text(homeostat, flights: pl.DataFrame, tmp_path: Path):
    flights.drop("arr_delay").write_csv(tmp_path / "flights.csv")
    assert homeostat("init", "flights.csv", "-t", "late", "--output", "made.py").code == 0
    assert load_loop(tmp_path / "made.py").source.spec.label_time == "landed"


@pytest.mark.parametrize("name", ["😀", 'a"b', "a'b", "a\\b", "ü", "${y}", "{y}", "%s", "x; y", "𝒚"])
def test_every_name_is_written_so_that_python_reads_it_as_it_is(
    homeostat, flights: pl.DataFrame, tmp_path: Path, name: str
):
    flights.rename({"late": name, "flight_id": f"key {name}"}).write_parquet(tmp_path / "flights.parquet")
    answer = homeostat("init", "flights.parquet", "--target", name, "--key", f"key {name}")
    assert answer.code == 0, answer.err
    spec = load_loop(tmp_path / "loop.py").source.spec
    assert (spec.target, spec.key) == (name, (f"key {name}",))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_separator_beside_decimal_commas_is_told(homeostat, tmp_path: Path, mark: str):
    lines = ["id at x y", *(f"r{row} 2026-01-{row:02} 1,5 {row % 2}" for row in range(1, 29))]
    (tmp_path / "rows.csv").write_text("\n".join(lines).replace(" ", mark))
    answer = homeostat("init", "rows.csv", "--target", "y")
    assert answer.code == 2
    assert f"separator={mark!r}" in answer.err


def test_a_number_with_many_values_is_a_regression(flights: pl.DataFrame):
    found = guess(survey([("flights", flights.drop("late"))]), "distance")
    assert (found.task, found.metric) == ("regression", "mae")


def test_init_does_not_replace_a_file_unasked(homeostat, flights: pl.DataFrame, tmp_path: Path):
    flights.write_parquet(tmp_path / "flights.parquet")
    (tmp_path / "loop.py").write_text("mine")
    refused = homeostat("init", "flights.parquet", "--target", "late")
    assert (refused.code, (tmp_path / "loop.py").read_text()) == (2, "mine")
    assert "--force" in refused.err
    assert homeostat("init", "flights.parquet", "--target", "late", "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "lat"], "did you mean 'late'?"),
        (["--target", "same"], "only the value 1"),
        (["--target", "nothing"], "no value at all"),
        (["--target", "late", "--time", "sheduled"], "did you mean 'scheduled'?"),
        (["--target", "flight_id"], "choose another --target"),
    ],
)
def test_bad_columns_are_named(homeostat, flights: pl.DataFrame, tmp_path: Path, arguments: list[str], said: str):
    twins = pl.concat([flights, flights.with_columns(pl.col("flight_id") + "b")])
    more = twins.with_columns(pl.lit(1).alias("same"), pl.lit(None, pl.Float64).alias("nothing"))
    more.write_parquet(tmp_path / "flights.parquet")
    answer = homeostat("init", "flights.parquet", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "loop.py").exists()


def test_a_table_without_a_time_says_so(homeostat, flights: pl.DataFrame, tmp_path: Path):
    flights.select("carrier", "distance", "late").write_csv(tmp_path / "flights.csv")
    answer = homeostat("init", "flights.csv", "--target", "late")
    assert answer.code == 2
    assert "no column holds a date or time in every row" in answer.err


@pytest.mark.parametrize(("text", "said"), [("", "empty"), ("a,b\n", "no rows"), ("a;late\n1;2\n", "--separator ';'")])
def test_bad_files_are_named(homeostat, tmp_path: Path, text: str, said: str):
    (tmp_path / "rows.csv").write_text(text)
    answer = homeostat("init", "rows.csv", "--target", "late")
    assert answer.code == 2
    assert "rows.csv" in answer.err
    assert said in answer.err


def test_a_file_that_is_not_there_is_named(homeostat):
    answer = homeostat("init", "nowhere.csv", "--target", "late")
    assert answer.code == 2
    assert "nowhere.csv" in answer.err


def test_a_file_that_is_not_there_in_an_empty_folder_is_told_so(homeostat, tmp_path: Path):
    answer = homeostat("init", "flights.parquet", "--target", "late")
    assert answer.code == 2
    assert f"the folder '{tmp_path.resolve()}' is empty" in answer.err
    assert "no folder" in homeostat("init", "nowhere/flights.parquet", "--target", "late").err


def test_a_loop_written_elsewhere_means_the_same_files(homeostat, flights: pl.DataFrame, tmp_path: Path):
    flights.write_parquet(tmp_path / "flights.parquet")
    (tmp_path / "deep").mkdir()
    homeostat("init", "flights.parquet", "--target", "late", "--output", "deep/loop.py")
    assert '"../flights.parquet"' in (tmp_path / "deep" / "loop.py").read_text()
    assert [path.name for path in load_loop(tmp_path / "deep" / "loop.py").source.files()] == ["flights.parquet"]
