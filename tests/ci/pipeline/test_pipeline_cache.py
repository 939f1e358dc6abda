"""What did not change is not run again, what did is named, and a stored result is used only if it is really there."""

from __future__ import annotations

import threading

import polars as pl
import pytest

from homeostat.ci.pipeline import Pipeline, step
from homeostat.core.errors import IntegrityError
from tests.ci.small_loop import records

LOW = 1


def keep(row):
    return row >= LOW


def rows(source):
    return pl.DataFrame({"n": source})


def clean(rows, *, learning_rate=0.1):
    return [row * learning_rate for row in rows["n"] if keep(row)]


def total(clean):
    return sum(clean)


PIPELINE = Pipeline(rows, clean, total)
INPUTS = {"source": [0, 1, 2]}


def run(store, pipeline=PIPELINE, inputs=INPUTS, **settings):
    return pipeline.run(store, loop="x", inputs=inputs, settings={f"clean.{k}": v for k, v in settings.items()})


def outcomes(store, finished):
    return {each.step: each.outcome for each in records(store, finished.id)}


def why(store, finished):
    return {each.step: each.why for each in records(store, finished.id)}


def test_a_second_run_reuses_everything_and_says_of_which_run(store):
    first, second = run(store), run(store)
    assert set(outcomes(store, first).values()) == {"ran"}
    assert set(outcomes(store, second).values()) == {"hit"}
    assert first.outputs == second.outputs
    assert all(first.id in reason for reason in why(store, second).values())


def test_another_loop_shares_the_results(store):
    run(store)
    other = PIPELINE.run(store, loop="y", inputs=INPUTS)
    assert set(outcomes(store, other).values()) == {"hit"}


def test_a_changed_setting_is_named_with_both_values(store):
    run(store)
    second = run(store, learning_rate=0.2)
    assert outcomes(store, second) == {"rows": "hit", "clean": "ran", "total": "ran"}
    assert why(store, second)["clean"] == "reran because `learning_rate` 0.1 -> 0.2"
    assert why(store, second)["total"] == "reran because input `clean` changed"


def test_going_back_to_an_earlier_setting_is_free(store):
    first = run(store)
    run(store, learning_rate=0.2)
    third = run(store, learning_rate=0.1)
    assert set(outcomes(store, third).values()) == {"hit"}
    assert third.outputs == first.outputs


def test_a_changed_input_is_named(store):
    run(store)
    second = run(store, inputs={"source": [1, 2, 3]})
    assert why(store, second)["rows"] == "reran because input `source` changed"


def test_the_same_result_by_another_way_stops_the_rerun_there(store):
    run(store)
    second = run(store, inputs={"source": [0, 1, 2]}, pipeline=PIPELINE.replace(rows=lambda source: rows(list(source))))
    assert outcomes(store, second) == {"rows": "ran", "clean": "hit", "total": "hit"}


def test_a_changed_constant_is_named(store, monkeypatch):
    run(store)
    monkeypatch.setattr(f"{__name__}.LOW", 2)
    assert why(store, run(store))["clean"] == "reran because `LOW` 1 -> 2"


def test_a_changed_helper_is_named(store, monkeypatch):
    run(store)

    def keep(row):
        return row > LOW

    monkeypatch.setattr(f"{__name__}.keep", keep)
    assert "helper `keep()`" in why(store, run(store))["clean"]


def test_a_step_with_other_code_says_so(store):
    run(store)
    second = run(store, pipeline=PIPELINE.replace(total=lambda clean: 2 * sum(clean)))
    assert why(store, second)["total"].startswith("reran because its own code")


@pytest.mark.parametrize("damage", ["missing", "emptied", "flipped"])
def test_a_stored_result_is_used_only_when_its_bytes_are_whole(store, damage):
    first = run(store)
    name = first.outputs["clean"]
    place = store.artifacts.blobs.folder / name[:2] / name[2:]
    data = place.read_bytes()
    if damage == "missing":
        place.unlink()
    else:
        place.write_bytes(b"" if damage == "emptied" else data[:-1] + bytes([data[-1] ^ 1]))
    second = run(store)
    assert outcomes(store, second) == {"rows": "hit", "clean": "ran", "total": "hit"}
    assert "is not there any more" in why(store, second)["clean"]
    assert place.read_bytes() == data


def test_a_damaged_output_is_never_decoded(store):
    first = run(store)
    name = first.outputs["total"]
    (store.artifacts.blobs.folder / name[:2] / name[2:]).write_bytes(b"homeostat/1 text\n7")
    with pytest.raises(IntegrityError):
        first["total"]


def test_what_cannot_be_named_is_not_cached_and_the_reason_is_recorded(store):
    lock = threading.Lock()

    def guarded(source):
        with lock:
            return sum(source)

    pipeline = Pipeline(guarded, step(lambda guarded: guarded + 1, name="after"))
    for _ in range(2):
        finished = pipeline.run(store, loop="x", inputs=INPUTS)
        assert outcomes(store, finished)["guarded"] == "ran"
    assert "cannot be cached" in why(store, finished)["guarded"]
    assert "lock" in why(store, finished)["guarded"]
    assert outcomes(store, finished)["after"] == "hit"


def test_a_setting_that_cannot_be_named_keeps_its_step_from_the_cache(store):
    def guarded(source, *, lock=None):
        return sum(source)

    pipeline = Pipeline(guarded)
    runs = [pipeline.run(store, loop="x", inputs=INPUTS, settings={"guarded.lock": threading.Lock()}) for _ in range(2)]
    assert [outcomes(store, finished)["guarded"] for finished in runs] == ["ran", "ran"]
    assert "setting `lock`" in why(store, runs[1])["guarded"]


def test_an_input_that_cannot_be_named_keeps_only_its_takers_from_the_cache(store):
    pipeline = Pipeline(step(lambda stream: next(stream) + 0, name="first"), step(lambda first: first, name="second"))
    for _ in range(2):
        finished = pipeline.run(store, loop="x", inputs={"stream": iter([1, 2])})
    assert outcomes(store, finished) == {"first": "ran", "second": "hit"}
    assert "input `stream`" in why(store, finished)["first"]


def test_the_parts_of_every_key_are_recorded(store):
    finished = run(store)
    parts = {each.event.step: each.event.parts for each in store.ledger.steps(finished.id)}
    assert parts["clean"]["setting:learning_rate"] == "0.1"
    assert parts["clean"]["input:rows"] == finished.outputs["rows"]
    assert {name.rpartition(".")[2] for name in parts["clean"] if name.startswith("code:")} == {"clean", "keep"}


def test_a_step_that_runs_under_a_second_name_is_taken_from_the_first(store):
    pipeline = Pipeline(rows, step(clean, name="one"), step(clean, name="two"))
    finished = pipeline.run(store, loop="x", inputs=INPUTS)
    assert sorted(outcomes(store, finished).values()) == ["hit", "ran", "ran"]
    assert finished.outputs["one"] == finished.outputs["two"]
