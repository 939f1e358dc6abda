"""A row has one id by whichever door it comes, and its label finds it by the same rule."""

from __future__ import annotations

import json

import polars as pl
import pytest

from homeostat.cd.infer import infer
from homeostat.cd.labels.files import LabelColumns, read_labels
from homeostat.cd.stream import Champions, stream
from homeostat.ci.collect import collect
from homeostat.connect import FrameSource, JsonLinesSink, TailSource
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import DataError
from homeostat.core.table.ids import LONGEST_ID
from homeostat.core.table.spec import table_spec
from tests.cd.serving import LOOP, NOON, serving
from tests.doors.world import PLAIN, Http, as_json, model

SPEC = table_spec("at", ("shop", "item"), target="y")
KEYS = [("a/b", "c1"), ("a", "b/c1"), ("a~1b", "c1"), ("", "a/b/c1"), ("Grüße", "~"), ("%2F", "\\")]
ROWS = [{"shop": shop, "item": item, **{name: PLAIN[name] for name in PLAIN if name != "id"}} for shop, item in KEYS]


@pytest.fixture
def world(store):
    made = model(store, SPEC)
    with serving(store) as app:
        yield Http(app), store, made


def by_http(http):
    """The ids of the rows by every route."""
    found = {}
    client = http.client
    found["records"] = [one["id"] for one in client.post("/predict", ROWS).json()["predictions"]]
    found["one"] = [client.post("/predict", row).json()["predictions"][0]["id"] for row in ROWS]
    found["mlflow"] = client.post("/invocations", {"dataframe_records": ROWS}).json()["ids"]
    return found


def streamed(store, folder, rows):
    (folder / "rows.jsonl").write_bytes(b"".join(as_json(row) + b"\n" for row in rows))
    out = folder / "out.jsonl"
    source = TailSource(folder / "rows.jsonl")
    stream(Champions(store, LOOP), source, JsonLinesSink(out), clock=VirtualClock(NOON), once=True)
    dead = [json.loads(line)["reason"] for line in (folder / "out.dead.jsonl").read_text().splitlines()]
    return [json.loads(line)["id"] for line in out.read_text().splitlines()], dead


def test_a_row_has_one_id_by_every_door(world, tmp_path):
    http, store, made = world
    found = by_http(http)
    found["stream"], _ = streamed(store, tmp_path, ROWS)
    labelled = pl.DataFrame(KEYS, schema=["shop", "item"], orient="row").with_columns(y=True)
    for ending in ("csv", "parquet", "ndjson"):
        given = labelled if ending != "csv" else labelled.filter(pl.col("shop") != "")
        getattr(given, f"write_{ending}")(tmp_path / f"labels.{ending}")
        items, _ = read_labels(tmp_path / f"labels.{ending}", made.signature, NOON)
        found[ending] = [item.id for item in items]
    expected = found["records"]
    assert len(set(expected)) == len(KEYS)
    assert found.pop("csv") == [one for one in expected if one[:1] != "/"]
    assert set(map(tuple, found.values())) == {tuple(expected)}


def test_ids_may_be_given_back_as_they_were_answered(world, tmp_path):
    http, _, made = world
    ids = by_http(http)["records"]
    (tmp_path / "told.csv").write_text("id,y\n" + "".join(f'"{one}",true\n' for one in ids))
    items, _ = read_labels(tmp_path / "told.csv", made.signature, NOON, named=LabelColumns(id="id"))
    assert [item.id for item in items] == ids
    assert http.post("/labels", [{"id": one, "label": True} for one in ids]) is None


def test_a_key_of_numbers_is_one_in_every_file(world, tmp_path):
    _, _, made = world
    columns = tuple(
        type(column)(name=column.name, kind="number", nullable=False) if column.name == "item" else column
        for column in made.signature.inputs
    )
    signature = type(made.signature)(inputs=columns, key=("item",), time="at", target="y", task="regression")
    (tmp_path / "whole.csv").write_text("item,y\n2,1.5\n")
    pl.DataFrame({"item": [2.0], "y": [1.5]}).write_parquet(tmp_path / "fraction.parquet")
    pl.DataFrame({"item": [2], "y": [1.5]}).write_parquet(tmp_path / "whole.parquet")
    names = ("whole.csv", "fraction.parquet", "whole.parquet")
    assert {read_labels(tmp_path / name, signature, NOON)[0][0].id for name in names} == {"2.0"}


def test_a_key_that_is_too_long_is_refused_at_every_door_and_none_is_cut(world, tmp_path):
    http, store, made = world
    long = {**ROWS[0], "shop": "x" * LONGEST_ID}
    http_said = [http.post("/predict", long), http.post("/predict", [*ROWS * 3, long])]
    http_said.append(http.post("/invocations", {"instances": [long]}))
    assert all("its id has 203 characters" in said for said in http_said)
    ids, dead = streamed(store, tmp_path, [long, ROWS[0]])
    assert (len(ids), len(dead)) == (1, 1)
    frame = pl.DataFrame([long]).with_columns(y=True)
    frame.write_parquet(tmp_path / "long.parquet")
    for refused in (
        lambda: read_labels(tmp_path / "long.parquet", made.signature, NOON),
        lambda: infer(made, tmp_path / "long.parquet", tmp_path / "out.parquet"),
        lambda: collect(
            FrameSource(frame, time="at", key=("shop", "item"), target="y"),
            store.table(LOOP, "rows", SPEC),
            store.ledger,
            LOOP,
            VirtualClock(NOON),
        ),
    ):
        with pytest.raises(DataError, match="200"):
            refused()
    assert http.post("/predict", ROWS[0]) is None
