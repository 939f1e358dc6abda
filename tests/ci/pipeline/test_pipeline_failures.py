"""A failure stops the rest, is recorded with all that was done, and says how to go on; going on does nothing twice."""

from __future__ import annotations

import importlib
import itertools
import pickle
import sys
import threading

import polars as pl
import pytest

from homeostat.ci.pipeline import Pipeline, step
from homeostat.core.errors import (
    CodecError,
    DataError,
    LoopError,
    ModelError,
    NotFoundError,
    RefusedError,
    SchemaError,
    StepFailedError,
)
from tests.ci.small_loop import records

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _forget_calls():
    CALLS.clear()


def rows(source):
    CALLS.append("rows")
    return pl.DataFrame({"delay": source})


def mean(rows, *, column="delay"):
    CALLS.append("mean")
    return rows[column].mean()


def twice(mean):
    CALLS.append("twice")
    return 2 * mean


PIPELINE = Pipeline(rows, mean, twice)
INPUTS = {"source": [1, 2, 3]}


def failing(error):
    def mean(rows):
        raise error

    return PIPELINE.replace(mean=mean)


def test_a_step_that_raises_names_run_step_line_and_the_command_to_resume(store):
    with pytest.raises(StepFailedError) as caught:
        PIPELINE.run(store, loop="x", inputs=INPUTS, settings={"mean.column": "dealy"})
    run = store.ledger.runs("x")[0].run
    said = str(caught.value)
    assert f"run {run}, step `mean` failed (test_pipeline_failures.py, line" in said
    assert "ColumnNotFoundError" in said
    assert "dealy" in said
    assert f"homeostat run --resume {run}" in said


def test_the_line_is_told_of_a_project_in_a_folder_that_is_called_homeostat(store, tmp_path, monkeypatch):
    folder = tmp_path / "homeostat-trial"
    folder.mkdir()
    (folder / "my_mean.py").write_text("def mean(rows):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(folder)
    mean = importlib.import_module("my_mean").mean
    with pytest.raises(StepFailedError, match=r"step `mean` failed \(my_mean.py, line 2\)"):
        PIPELINE.replace(mean=mean).run(store, loop="x", inputs=INPUTS)


def test_a_failed_run_is_recorded_with_what_was_done(store):
    with pytest.raises(StepFailedError):
        failing(ZeroDivisionError("no rows")).run(store, loop="x", inputs=INPUTS)
    row = store.ledger.runs("x")[0]
    assert (row.status, "no rows" in (row.error or "")) == ("failed", True)
    assert [(each.step, each.outcome) for each in records(store, row.run)] == [
        ("rows", "ran"),
        ("mean", "failed"),
    ]


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [
        (DataError("no rows of the last day", hint="wait"), "stopped", 2),
        (SchemaError("column 'late' is missing"), "stopped", 2),
        (ModelError("no predict"), "failed", 2),
        (ValueError("oh"), "failed", 1),
        (MemoryError(), "failed", 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refused_data_stop_a_run_and_other_errors_fail_it(store, error, status, exit_code):
    with pytest.raises(Exception, match="step `mean`") as caught:
        failing(error).run(store, loop="x", inputs=INPUTS)
    assert store.ledger.runs("x")[0].status == status
    assert caught.value.exit_code == exit_code
    assert isinstance(caught.value, type(error) if hasattr(error, "exit_code") else StepFailedError)
    assert caught.value.__cause__ is error


def test_the_hint_of_a_refusal_is_kept(store):
    with pytest.raises(DataError, match="wait; then `homeostat run --resume"):
        failing(DataError("no rows", hint="wait")).run(store, loop="x", inputs=INPUTS)


def test_the_errors_of_a_run_can_be_sent_to_another_process(store):
    with pytest.raises(StepFailedError) as caught:
        failing(ValueError("oh")).run(store, loop="x", inputs=INPUTS)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_value_without_a_codec_is_refused_with_the_step(store):
    with pytest.raises(CodecError, match=r"(?s)step `mean`: value is a _thread\.lock, .*register"):
        PIPELINE.replace(mean=lambda rows: threading.Lock()).run(store, loop="x", inputs=INPUTS)


def test_an_output_of_another_type_than_declared_is_refused(store):
    def mean(rows) -> pl.DataFrame:
        rows.mean()

    with pytest.raises(LoopError, match=r"`mean` declares that it returns DataFrame but returned NoneType"):
        PIPELINE.replace(mean=mean).run(store, loop="x", inputs=INPUTS)


def test_resuming_runs_only_what_was_not_done(store):
    with pytest.raises(StepFailedError):
        failing(ValueError("oh")).run(store, loop="x", inputs=INPUTS)
    failed = store.ledger.runs("x")[0].run
    CALLS.clear()
    resumed = PIPELINE.run(store, loop="x", inputs=INPUTS, resume=failed)
    assert CALLS == ["mean", "twice"]
    assert resumed["twice"] == 4
    assert resumed.outputs == PIPELINE.run(store, loop="x", inputs=INPUTS).outputs


def test_a_resumed_run_takes_over_trigger_small_inputs_and_stated_settings(store):
    with pytest.raises(StepFailedError):
        PIPELINE.run(store, loop="x", inputs=INPUTS, settings={"mean.column": "dealy"})
    failed = store.ledger.runs("x")[0]
    mended = PIPELINE.replace(rows=lambda source: pl.DataFrame({"dealy": source}))
    resumed = mended.run(store, loop="x", resume=failed.run)
    assert resumed["twice"] == 4
    assert store.ledger.run(resumed.id).trigger == failed.trigger


def test_a_step_that_cannot_be_cached_is_not_repeated_by_resuming(store):
    started = itertools.count()  # which has no name

    def rows(source):
        next(started)
        return pl.DataFrame({"delay": source})

    broken = [True]

    def mean(rows):
        if broken:
            raise ValueError("oh")
        return 1.0

    pipeline = PIPELINE.replace(rows=rows, mean=mean)
    with pytest.raises(StepFailedError):
        pipeline.run(store, loop="x", inputs=INPUTS)
    broken.clear()
    resumed = pipeline.run(store, loop="x", inputs=INPUTS, resume=store.ledger.runs("x")[0].run)
    assert next(started) == 1
    assert CALLS == ["twice"]
    assert "which this one resumes" in records(store, resumed.id)[0].why


def test_a_step_that_cannot_be_cached_runs_again_where_it_was_edited_before_resuming(store, tmp_path, monkeypatch):
    """A lock has no name, so that the step has no key; what else it is made of still tells one edit from another."""
    monkeypatch.syspath_prepend(tmp_path)
    source = "import threading\nlock = threading.Lock()\nFACTOR = 1\n"
    source += "def scaled(value):\n    return 1 * value\n"
    source += "def rows(source):\n    with lock:\n        return [FACTOR * scaled(one) for one in source]\n"
    file = tmp_path / "locked_rows.py"

    def written(text: str):
        file.write_text(text)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "locked_rows", raising=False)
        return importlib.import_module("locked_rows").rows

    def failing(rows):
        raise ValueError("oh")

    def total(rows):
        return sum(rows)

    pipeline = Pipeline(written(source), failing)
    with pytest.raises(StepFailedError):
        pipeline.run(store, loop="x", inputs=INPUTS)
    (failed,) = store.ledger.runs("x")
    for edited in (
        source.replace("[FACTOR", "[2 * FACTOR"),
        source.replace("1 * value", "2 * value"),
        source.replace("FACTOR = 1", "FACTOR = 2"),
    ):
        mended = pipeline.replace(rows=written(edited), failing=total)
        assert mended.run(store, loop="x", inputs=INPUTS, resume=failed.run)["failing"] == 12
    same = pipeline.replace(rows=written(source), failing=total)
    assert same.run(store, loop="x", inputs=INPUTS, resume=failed.run)["failing"] == 6


def test_a_step_that_cannot_be_cached_and_failed_is_tried_again_by_resuming(store):
    attempts = itertools.count()  # which has no name

    def mean(rows):
        if next(attempts) == 0:
            raise ValueError("oh")
        return 1.0

    pipeline = PIPELINE.replace(mean=mean)
    with pytest.raises(StepFailedError):
        pipeline.run(store, loop="x", inputs=INPUTS)
    assert pipeline.run(store, loop="x", inputs=INPUTS, resume=store.ledger.runs("x")[0].run)["twice"] == 2


def test_of_several_failures_the_first_is_told(store):
    begun, told = threading.Barrier(2), threading.Event()

    def first(source):
        begun.wait()
        raise ValueError("the first")

    def second(source):
        begun.wait()
        told.wait()
        raise ValueError("the second")

    def progress(name, done, steps, outcome):
        if outcome == "failed":
            told.set()

    with pytest.raises(StepFailedError, match="step `first` failed"):
        Pipeline(first, second).run(store, loop="x", inputs=INPUTS, workers=2, progress=progress)
    assert {each.step: each.outcome for each in records(store, store.ledger.runs("x")[0].run)} == {
        "first": "failed",
        "second": "failed",
    }


def test_the_run_of_another_loop_cannot_be_resumed(store):
    finished = PIPELINE.run(store, loop="x", inputs=INPUTS)
    with pytest.raises(NotFoundError, match="belongs to loop 'x'"):
        PIPELINE.run(store, loop="y", inputs=INPUTS, resume=finished.id)


def test_a_run_that_is_still_running_cannot_be_resumed(store):
    refused = []

    def twice(mean):
        while not store.ledger.runs("x"):  # the beginning of a run is committed a moment after it began
            pass
        with pytest.raises(RefusedError, match="still running"):
            PIPELINE.run(store, loop="x", inputs=INPUTS, resume=store.ledger.runs("x")[0].run)
        refused.append(1)
        return 2 * mean

    PIPELINE.replace(twice=twice).run(store, loop="x", inputs=INPUTS)
    assert refused


def test_one_failure_stops_the_rest_but_what_is_running_is_kept(store):
    failed = threading.Event()

    def bad(source):
        try:
            raise ValueError("oh")
        finally:
            failed.set()

    def slow(source):
        failed.wait(30)
        return 7

    pipeline = Pipeline(bad, slow, step(lambda slow: slow + 1, name="later"))
    with pytest.raises(StepFailedError, match="`bad`"):
        pipeline.run(store, loop="x", inputs={"source": 0}, workers=2)
    steps = {each.step: each.outcome for each in records(store, store.ledger.runs("x")[0].run)}
    assert steps == {"bad": "failed", "slow": "ran"}


def test_an_interrupted_run_says_so(store):
    with pytest.raises(KeyboardInterrupt):
        failing(KeyboardInterrupt()).run(store, loop="x", inputs=INPUTS)
    assert store.ledger.runs("x")[0].status == "interrupted"


def test_a_run_needs_no_more_than_one_worker(store):
    wide = Pipeline(rows, *(step(lambda rows: rows["delay"].sum(), name=f"sum{i}") for i in range(5)))
    finished = wide.run(store, loop="x", inputs=INPUTS, workers=1)
    assert {finished[f"sum{i}"] for i in range(5)} == {6}
