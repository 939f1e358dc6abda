"""A stream from end to end: the model's answers, dead letters with reasons, the log, the champion of the moment."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LabelItem, LabelRecord, LogWriter
from homeostat.cd.stream import Champions, stream
from homeostat.connect import FolderSource, JsonLinesSink, OutputSink, ParquetSink, TailSource
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import ConflictError, DataError, NotFoundError, StoreError
from tests.cd.serving import LOOP, NOON, bundle, flights, linear, promote, register
from tests.cd.streams import lines, logged, run, written

ROWS = flights(60, seed=3)
CLOCK = VirtualClock(NOON)


@pytest.fixture
def kept(store):
    promote(store, register(store, bundle()))
    return store


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(lines(ROWS)))
    return TailSource(path)


def expected(rows=ROWS, model=None):
    found = (model or bundle().model()).predict(rows)
    return list(zip(rows["flight_id"], found.value.tolist(), found.positive.tolist(), strict=True))


def said(answers):
    return [(one["id"], one["value"], pytest.approx(one["score"], abs=1e-6)) for one in answers]


def test_every_row_is_answered_once_and_in_order(kept, source, tmp_path):
    done = run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"), batch_rows=25)
    answers = written(tmp_path / "out.jsonl")
    assert said(answers) == expected()
    assert {one["version"] for one in answers} == {1}
    assert (done.rows, done.dead, done.batches) == (60, 0, 3)
    assert run(kept, source, JsonLinesSink(tmp_path / "out.jsonl")).rows == 0
    assert said(written(tmp_path / "out.jsonl")) == expected()


def test_standard_output_gets_lines_of_json(kept, source, capsys):
    run(kept, source, OutputSink())
    assert len(capsys.readouterr().out.splitlines()) == 60


def test_a_folder_gets_parquet_files(kept, tmp_path):
    arriving = tmp_path / "in"
    arriving.mkdir()
    ROWS[:40].write_parquet(arriving / "a.parquet")
    ROWS[40:].drop("late", "landed").write_csv(arriving / "b.csv")
    run(kept, FolderSource(arriving, bundle().manifest.schema), ParquetSink(tmp_path / "out"), batch_rows=30)
    found = pl.read_parquet(tmp_path / "out" / "*.parquet").sort("id")
    assert found.columns == ["id", "value", "version", "score"]
    names = sorted(path.name for path in (tmp_path / "out").glob("part*"))
    assert names == [f"part-0000000{n}.parquet" for n in (1, 2, 3)]
    assert list(found.select("id", "value", "score").iter_rows()) == sorted(
        (name, value, pytest.approx(score, abs=1e-6)) for name, value, score in expected()
    )


MANY = flights(300).with_columns(late=pl.col("distance") // 1_200)


@pytest.mark.parametrize(
    ("model", "columns"), [(None, ["score_0", "score_1", "score_2"]), (linear(), [])], ids=["classes", "numbers"]
)
def test_more_classes_and_numbers_are_written_too(store, source, tmp_path, model, columns):
    made = bundle(MANY, model=model or LogisticRegression())
    promote(store, register(store, made))
    run(store, source, ParquetSink(tmp_path / "out"))
    found = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert found.columns == ["id", "value", "version", *columns]
    assert found["value"].to_list() == pytest.approx(made.model().predict(ROWS).value.tolist())
    run(store, source, JsonLinesSink(tmp_path / "out.jsonl"))
    first = written(tmp_path / "out.jsonl")[0]
    assert [f"score_{name}" for name in first.get("probabilities", {})] == columns


BAD = {
    '{"flight_id": "x", broken\n': "no JSON",
    "[1, 2]\n": "is a list, not an object",
    '{"flight_id": "x"}\n': "column 'wind': is missing",
    lines(ROWS[:1])[0].replace('"distance": ', '"distance": "far", "d": '): "'distance'",
    lines(ROWS[:1])[0].replace('"wind": ', '"wind": 1e999, "w": '): "no JSON",
    lines(ROWS[:1])[0].replace('"carrier": "', '"carrier": null, "c": "'): "'carrier'",
}


def test_bad_rows_are_set_aside_with_the_reason_and_stop_nothing(kept, tmp_path):
    good = lines(ROWS)
    mixed = [line for pair in zip(BAD, good, strict=False) for line in pair] + good[len(BAD) :]
    (tmp_path / "rows.jsonl").write_text("".join(mixed))
    done = run(kept, TailSource(tmp_path / "rows.jsonl"), JsonLinesSink(tmp_path / "out.jsonl"), batch_rows=7)
    assert said(written(tmp_path / "out.jsonl")) == expected()
    dead = written(tmp_path / "out.dead.jsonl")
    assert (done.rows, done.dead, len(dead)) == (60, len(BAD), len(BAD))
    for reason in BAD.values():
        assert any(reason in one["reason"] for one in dead)
    assert {"flight_id": "x"} in [one["row"] for one in dead]


def fussy(rows):
    if (rows["distance"] == 777).any():
        raise ValueError("not this distance")
    return rows


def test_a_row_that_features_cannot_take_is_found_among_its_batch(store, tmp_path):
    promote(store, register(store, bundle(features=fussy)))
    rows = ROWS.with_columns(distance=pl.when(pl.int_range(60) == 33).then(777).otherwise("distance"))
    (tmp_path / "rows.jsonl").write_text("".join(lines(rows)))
    run(store, TailSource(tmp_path / "rows.jsonl"), JsonLinesSink(tmp_path / "out.jsonl"), features=fussy)
    assert len(written(tmp_path / "out.jsonl")) == 59
    (dead,) = written(tmp_path / "out.dead.jsonl")
    assert "not this distance" in dead["reason"]
    assert dead["row"]["flight_id"] == "f3-33"


def test_answers_are_in_the_log_so_that_labels_join(kept, source, tmp_path):
    with LogWriter(kept.log_folder(LOOP)) as log:
        run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"), log=log)
        at = NOON + timedelta(hours=1)
        log.append(LabelRecord(at, [LabelItem(name, True, at) for name in ROWS["flight_id"][:10]]))
    assert logged(kept) == ROWS["flight_id"].to_list()
    assert len(Traffic(kept.log_folder(LOOP)).take().labelled) == 10


def test_without_a_log_nothing_is_recorded(kept, source, tmp_path):
    run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"))
    assert logged(kept) == []


def test_rows_without_a_key_are_called_by_their_place(kept, tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(lines(ROWS.drop("flight_id").with_columns(flight_id=None)[:2])))
    for output in ("a.jsonl", "b.jsonl"):
        run(kept, TailSource(tmp_path / "rows.jsonl"), JsonLinesSink(tmp_path / output))
    ids = [one["id"] for one in written(tmp_path / "a.jsonl")]
    assert len(set(ids)) == 2
    assert all(one.startswith("rows.jsonl/") for one in ids)
    assert ids == [one["id"] for one in written(tmp_path / "b.jsonl")]


def test_a_promotion_takes_effect_with_the_next_batch(kept, source, tmp_path):
    champions = Champions(kept, LOOP)
    second = register(kept, bundle(seed=1))

    def promoted(done):
        if done.batches == 2:
            promote(kept, second)

    sink = JsonLinesSink(tmp_path / "out.jsonl")
    stream(champions, source, sink, clock=CLOCK, once=True, batch_rows=10, progress=promoted)
    answers = written(tmp_path / "out.jsonl")
    assert [one["version"] for one in answers] == [1] * 20 + [2] * 40
    assert said(answers) == expected()[:20] + expected(model=bundle(seed=1).model())[20:]


def test_a_champion_of_another_contract_does_not_take_over(kept, source, tmp_path):
    champions = Champions(kept, LOOP)
    promote(kept, register(kept, bundle(flights(gust=1.5))))
    stream(champions, source, JsonLinesSink(tmp_path / "out.jsonl"), clock=CLOCK, once=True)
    assert said(written(tmp_path / "out.jsonl")) == expected()
    assert "'gust' is new" in champions.refused


def test_it_stops_when_it_is_told_to(kept, source, tmp_path):
    told = []
    run(
        kept,
        source,
        JsonLinesSink(tmp_path / "out.jsonl"),
        once=False,
        batch_rows=10,
        progress=told.append,
        stopped=lambda: len(told) == 2,
    )
    assert len(written(tmp_path / "out.jsonl")) == 20


def test_without_a_champion_there_is_no_stream(store):
    with pytest.raises(NotFoundError, match="no champion"):
        Champions(store, LOOP)


def test_two_streams_do_not_write_one_output(kept, source, tmp_path):
    for kind, path in ((JsonLinesSink, tmp_path / "out.jsonl"), (ParquetSink, tmp_path / "out")):
        first = kind(path)
        first.begin("a")
        with pytest.raises(ConflictError, match="another process"):
            run(kept, source, kind(path))
        first.close()
        with pytest.raises(DataError, match="holds the answers to a"):
            run(kept, source, kind(path))


def test_an_output_that_was_cut_or_has_a_newer_form_is_refused(kept, source, tmp_path):
    run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"))
    position = tmp_path / ".out.jsonl.position"
    (tmp_path / "out.jsonl").write_text("")
    with pytest.raises(StoreError, match="shorter than it was"):
        run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"))
    position.write_text(position.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(StoreError, match="newer Homeostat"):
        run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"))
    position.write_text("{")
    with pytest.raises(StoreError, match="no position"):
        run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"))


def test_what_was_in_the_output_before_stays(kept, source, tmp_path):
    (tmp_path / "out.jsonl").write_text('{"id": "before"}\n')
    run(kept, source, JsonLinesSink(tmp_path / "out.jsonl"))
    assert [one["id"] for one in written(tmp_path / "out.jsonl")] == ["before", *ROWS["flight_id"]]


class LookingSink(JsonLinesSink):
    """Notes how much of the log is not on the disk yet when answers come to it."""

    def __init__(self, path, log):
        super().__init__(path)
        self.log, self.pending = log, []

    def write(self, answers, dead, after):
        self.pending.append((self.log.stats().records, self.log.stats().pending))
        super().write(answers, dead, after)


def test_answers_are_on_the_disk_of_the_log_before_the_sink_gets_them(kept, source, tmp_path):
    with LogWriter(kept.log_folder(LOOP)) as log:
        sink = LookingSink(tmp_path / "out.jsonl", log)
        run(kept, source, sink, log=log, batch_rows=20)
    assert sink.pending == [(1, 0), (2, 0), (3, 0)]


def test_what_a_source_could_not_give_any_more_is_told(kept, source, tmp_path):
    path, sink = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    assert run(kept, source, JsonLinesSink(sink)).lost == []
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / "rows.jsonl")
    path.write_text("".join(lines(ROWS[:5])))
    done = run(kept, TailSource(path), JsonLinesSink(sink))
    assert (done.rows, done.lost) == (5, ["rows.jsonl was rotated away before it was read to its end"])
