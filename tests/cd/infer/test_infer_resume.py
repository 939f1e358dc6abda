"""A batch inference that was killed goes on where it stopped, and one that runs needs no more memory for more rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import polars as pl
import pytest

from homeostat.cd.infer import infer
from homeostat.cd.infer.checkpoint import Unfinished
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.errors import ConflictError, SchemaError
from homeostat.core.table.form import Form
from tests.cd.serving import bundle, flights

ROWS = flights(2_000, seed=7)
MARGIN = 40
"""In MB."""

CHILD = textwrap.dedent("""
    import json, os, resource, signal, sys
    from homeostat.cd.infer import infer
    from homeostat.core.artifacts import ArtifactStore
    from homeostat.core.model import Bundle

    told = json.loads(sys.argv[1])
    chunks = []

    def progress(done, total):
        chunks.append(done)
        if len(chunks) == told.get("die_after"):
            os.kill(os.getpid(), signal.SIGKILL)

    model = Bundle.load(ArtifactStore(told["artifacts"]), told["key"])
    made = infer(model, told["source"], told["out"], chunk_rows=told["chunk_rows"], progress=progress)
    print(json.dumps({"rows": made.rows, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
""")


@pytest.fixture
def child(tmp_path):
    """Infers in a process of its own."""

    def run(source, trained=None, **more):
        key = (trained or bundle()).save(ArtifactStore(tmp_path / "artifacts"))
        told = {"artifacts": str(tmp_path / "artifacts"), "key": key, "out": str(tmp_path / "out.parquet"), **more}
        told = {"chunk_rows": 300, "source": str(source), **told}
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", CHILD, json.dumps(told)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.crash
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been_killed(child, tmp_path):
    ROWS.write_parquet(tmp_path / "rows.parquet")
    assert child(tmp_path / "rows.parquet", die_after=3).returncode == -9
    assert not (tmp_path / "out.parquet").exists()
    seen = []
    model = bundle().model()
    made = infer(
        model,
        tmp_path / "rows.parquet",
        tmp_path / "out.parquet",
        chunk_rows=300,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (made.rows, made.resumed) == (2_000, 900)
    assert seen[0] == (1_200, 2_000)
    infer(model, tmp_path / "rows.parquet", tmp_path / "whole.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(pl.read_parquet(tmp_path / "whole.parquet"))
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


@pytest.mark.crash
def test_what_a_killed_run_left_is_not_used_for_another_table(child, tmp_path):
    ROWS.write_parquet(tmp_path / "rows.parquet")
    assert child(tmp_path / "rows.parquet", die_after=2).returncode == -9
    ROWS.reverse().write_parquet(tmp_path / "rows.parquet")
    made = infer(bundle().model(), tmp_path / "rows.parquet", tmp_path / "out.parquet", chunk_rows=300)
    assert (made.rows, made.resumed) == (2_000, 0)
    assert pl.read_parquet(tmp_path / "out.parquet")["flight_id"].to_list() == ROWS["flight_id"].reverse().to_list()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.crash
def test_a_chunk_without_its_note_is_made_again(child, tmp_path):
    ROWS.write_parquet(tmp_path / "rows.parquet")
    assert child(tmp_path / "rows.parquet", die_after=3).returncode == -9
    (parts,) = tmp_path.glob(".out.parquet.*")
    (parts / "00000002.json").unlink()
    (parts / "00000002.parquet").write_bytes(b"torn")
    made = infer(bundle().model(), tmp_path / "rows.parquet", tmp_path / "out.parquet", chunk_rows=300)
    assert (made.rows, made.resumed) == (2_000, 600)
    assert pl.read_parquet(tmp_path / "out.parquet").height == 2_000


def test_two_processes_do_not_make_one_output_together(tmp_path):
    first = Unfinished(tmp_path / "out.parquet", "a" * 64)
    with pytest.raises(ConflictError, match="another process"):
        Unfinished(tmp_path / "out.parquet", "a" * 64)
    Unfinished(tmp_path / "out.parquet", "b" * 64).close()
    assert len(list(tmp_path.glob(".out*"))) == 2
    first.close()
    Unfinished(tmp_path / "out.parquet", "a" * 64).close()
    assert len(list(tmp_path.glob(".out*"))) == 1


def test_a_column_that_lines_of_json_leave_out_is_null_and_one_that_all_leave_out_is_missing(tmp_path):
    model = bundle().model()
    rows = [json.loads(line) for line in ROWS[:400].drop("late", "landed").write_ndjson().splitlines()]
    some = [{name: value for name, value in row.items() if value is not None} for row in rows]
    lacking = [{name: value for name, value in row.items() if name != "wind"} for row in rows]
    for name, lines in (("all", rows), ("some", some), ("lacking", lacking)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    infer(model, tmp_path / "all.jsonl", tmp_path / "all")
    infer(model, tmp_path / "some.jsonl", tmp_path / "some")
    assert pl.read_parquet(tmp_path / "all").equals(pl.read_parquet(tmp_path / "some"))
    with pytest.raises(SchemaError, match="'wind' is missing"):
        infer(model, tmp_path / "lacking.jsonl", tmp_path / "lacking")


def test_a_column_is_missing_only_where_every_chunk_of_a_file_lacks_it(tmp_path):
    """The first of two chunks has no wind at all, and the second one has."""
    rows = [json.loads(line) for line in ROWS[:300].drop("late", "landed").write_ndjson().splitlines()]
    long = [{**row, "filler": "x" * 40_000} for row in rows]
    still = [{name: value for name, value in row.items() if name != "wind"} for row in long[:250]]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*still, *long[250:]])))
    (tmp_path / "still.jsonl").write_text("\n".join(map(json.dumps, still)))
    model, seen = bundle().model(), []
    progress = lambda done, total: seen.append(done)  # noqa: E731
    infer(model, tmp_path / "rows.jsonl", tmp_path / "out", form=Form(ignore=("filler",)), progress=progress)
    assert len(seen) > 1
    expected = model.predict(ROWS[:300].with_columns(wind=pl.when(pl.int_range(300) >= 250).then("wind")))
    assert pl.read_parquet(tmp_path / "out")["score"].to_list() == pytest.approx(expected.positive.tolist())
    both = [tmp_path / "rows.jsonl", tmp_path / "still.jsonl"]
    with pytest.raises(SchemaError, match="'wind' is missing"):
        infer(model, both, tmp_path / "both", form=Form(ignore=("filler",)))


class CutOff(BaseException):
    """Ends a run after some of its chunks."""


def cut_off(model, source, out, chunks=3, **settings):
    """Begin a batch inference that leaves so many finished chunks behind."""
    done = []

    def progress(rows, total):
        done.append(rows)
        if len(done) == chunks:
            raise CutOff

    with pytest.raises(CutOff):
        infer(model, source, out, progress=progress, **({"chunk_rows": 300} | settings))
    return done[-1]


@pytest.fixture
def rows(tmp_path):
    ROWS.drop("late", "landed").write_parquet(tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def test_the_same_run_goes_on_behind_its_finished_chunks(rows, tmp_path):
    assert cut_off(bundle().model(), rows, tmp_path / "out") == 900
    made = infer(bundle().model(), rows, tmp_path / "out", chunk_rows=300)
    assert (made.rows, made.resumed) == (2_000, 900)


def test_finished_chunks_of_one_model_are_not_used_for_another(rows, tmp_path):
    cut_off(bundle().model(), rows, tmp_path / "out")
    other = bundle(seed=1).model()
    made = infer(other, rows, tmp_path / "out", chunk_rows=300)
    infer(other, rows, tmp_path / "whole")
    infer(bundle().model(), rows, tmp_path / "first")
    assert (made.rows, made.resumed) == (2_000, 0)
    assert pl.read_parquet(tmp_path / "out").equals(pl.read_parquet(tmp_path / "whole"))
    assert not pl.read_parquet(tmp_path / "out").equals(pl.read_parquet(tmp_path / "first"))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"chunk_rows": 500}),
        ({}, {"form": Form(ignore=("gusts",))}),
        ({}, {"form": Form(nulls=(("wind", ("x",)),))}),
        ({"form": Form(nulls=(("wind", ("x",)),))}, {}),
    ],
)
def test_finished_chunks_of_other_settings_are_not_used(rows, tmp_path, first, then):
    cut_off(bundle().model(), rows, tmp_path / "out", **first)
    made = infer(bundle().model(), rows, tmp_path / "out", **({"chunk_rows": 300} | then))
    assert (made.rows, made.resumed) == (2_000, 0)


def test_finished_chunks_of_another_table_are_not_used(rows, tmp_path):
    cut_off(bundle().model(), rows, tmp_path / "out")
    ROWS.drop("late", "landed").reverse().write_parquet(tmp_path / "other.parquet")
    assert infer(bundle().model(), tmp_path / "other.parquet", tmp_path / "out", chunk_rows=300).resumed == 0


def test_what_does_not_fit_leaves_no_chunks_behind_and_no_output(rows, tmp_path):
    broken = ROWS.drop("late", "landed").with_columns(distance=pl.lit("far"))
    broken.write_parquet(tmp_path / "broken.parquet")
    with pytest.raises(SchemaError):
        infer(bundle().model(), tmp_path / "broken.parquet", tmp_path / "out", chunk_rows=300)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.parquet", "rows.parquet"]


def test_a_chunk_that_does_not_fit_is_remembered_when_the_run_goes_on(tmp_path):
    table = ROWS.drop("late", "landed").with_columns(
        carrier=pl.when(pl.int_range(2_000) < 10).then(None).otherwise(pl.col("carrier"))
    )
    table.write_parquet(tmp_path / "rows.parquet")
    cut_off(bundle().model(), tmp_path / "rows.parquet", tmp_path / "out")
    with pytest.raises(SchemaError, match="carrier"):
        infer(bundle().model(), tmp_path / "rows.parquet", tmp_path / "out", chunk_rows=300)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", pytest.param("csv", marks=pytest.mark.long)])
def test_eight_times_the_rows_need_no_more_memory(child, tmp_path, ending):
    wide = {f"x{place}": pl.col("wind") * place for place in range(40)}
    peaks = []
    for times in (1, 8):
        path = tmp_path / f"rows{times}.{ending}"
        rows = pl.concat([flights(50_000, **wide)] * times).drop("late", "landed")
        rows.write_csv(path) if ending == "csv" else rows.write_parquet(path, row_group_size=50_000)
        done = child(path, trained=bundle(flights(**wide)), chunk_rows=10_000)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rows"] == rows.height
        peaks.append(json.loads(done.stdout)["peak"])
    assert rows.estimated_size("mb") > 3 * MARGIN
    assert peaks[1] < peaks[0] + MARGIN
