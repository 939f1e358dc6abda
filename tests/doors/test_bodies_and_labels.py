"""What is said twice, names that cannot be stored, and the doors of labels: refused alike, and the next is taken."""

from __future__ import annotations

import json

import pytest

from homeostat.cd.labels.files import read_labels
from homeostat.core.errors import DataError
from tests.cd.serving import LOOP, NOON, log_of, serving
from tests.doors.world import PLAIN, Http, answering, as_csv, as_json, model

TWICE = json.dumps(PLAIN).replace('"number": 1.5', '"number": 1.5, "number": 2.5')
TENSORS = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in PLAIN.items()]
TENSORS[2] |= {"datatype": "FP64"}
TENSORS[3] |= {"datatype": "INT64"}
TENSORS[4] |= {"datatype": "BOOL"}
INFER = f"/v2/models/{LOOP}/infer"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from homeostat.core.store import Store

    store = Store.open(tmp_path_factory.mktemp("bodies") / "store")
    made = model(store)
    with serving(store) as app:
        yield Http(app), made, store


SAID_TWICE = {
    "one row": ("/predict", TWICE),
    "a row among many": ("/predict", f"[{', '.join([json.dumps(PLAIN)] * 20)}, {TWICE}]"),
    "written otherwise": ("/predict", TWICE.replace('"number": 2.5', '"n\\u0075mber" : 2.5')),
    "a null and a number": (
        "/predict",
        json.dumps({**PLAIN, "id": None}).replace('"number": 1.5', '"number": 1.5, "number": 2.5'),
    ),
    "records": ("/predict", f'{{"records": [{TWICE}]}}'),
    "ids": ("/predict", f'{{"records": [{json.dumps(PLAIN)}], "ids": ["a"], "ids": ["b"]}}'),
    "a tensor's data": (
        INFER,
        json.dumps({"inputs": TENSORS}).replace('"data": [1.5]', '"data": [2.5], "data": [1.5]'),
    ),
    "a request's inputs": (INFER, json.dumps({"inputs": TENSORS})[:-1] + ', "inputs": []}'),
    "a request's id": (INFER, json.dumps({"id": "a", "inputs": TENSORS})[:-1] + ', "id": "b"}'),
    "dataframe_records": ("/invocations", f'{{"dataframe_records": [{TWICE}]}}'),
    "instances": ("/invocations", f'{{"instances": [{TWICE}]}}'),
    "inputs": ("/invocations", '{"inputs": {"number": [1], "number": [2]}}'),
    "a label": ("/labels", '{"id": "a", "label": true, "label": false}'),
    "losses": ("/judge", '{"champion_loss": [0.1], "champion_loss": [0.2], "challenger_loss": [0.1]}'),
}


@pytest.mark.parametrize("case", SAID_TWICE)
def test_what_is_said_twice_is_refused_by_name(world, case):
    path, body = SAID_TWICE[case]
    with answering(world[0]):
        said = world[0].post(path, body.encode())
    assert "is there twice" in said


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {**PLAIN, "text": 'say "yes" and \\ or: {"a": 1}'}),
        ("/predict", [{**PLAIN, "text": '"', "id": f"q{place}"} for place in range(20)]),
        (INFER, {"id": '"', "inputs": TENSORS, "parameters": {"a": {"b": '"'}}, "outputs": [{"name": "label"}]}),
        ("/labels", {"id": '"', "label": True, "time": "2013-03-01 12:00"}),
    ],
)
def test_quotes_in_texts_are_no_second_saying(world, path, body):
    assert world[0].post(path, body) is None


HALF = "\ud83d"
ODD = {
    "a column's name": ("/predict", {**PLAIN, f"n{HALF}": 1}),
    "a request's id": ("/predict", {"records": [PLAIN], "id": HALF}),
    "a row's id": ("/predict", {"records": [PLAIN], "ids": [HALF]}),
    "a key": ("/predict", {**PLAIN, "id": HALF}),
    "a field": ("/predict", {"records": [PLAIN], HALF: 1}),
    "an empty key": ("/predict", {**PLAIN, "id": ""}),
    "NUL in an id": ("/predict", {"records": [PLAIN], "ids": ["a\0"]}),
    "NUL in a request's id": (INFER, {"id": "a\0", "inputs": TENSORS}),
    "half a pair in a tensor's name": (INFER, {"inputs": [*TENSORS, {**TENSORS[0], "name": HALF}]}),
    "half a pair in a request's id": (INFER, {"id": HALF, "inputs": TENSORS}),
    "an output's name": (INFER, {"inputs": TENSORS, "outputs": [{"name": HALF}]}),
    "a column of MLflow": ("/invocations", {"dataframe_split": {"columns": [HALF], "data": [[1]]}}),
    "a field of MLflow": ("/invocations", {HALF: []}),
    "a million digits": ("/predict", as_json(PLAIN).replace(b"1.5", b"9" * 1_000_000)),
    "deep": ("/predict", b'{"text": ' + b"[" * 100_000),
    "deep and closed": ("/predict", b'{"text": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    "a label's id": ("/labels", {"id": HALF, "label": True}),
    "NUL in a label's id": ("/labels", {"id": "a\0", "label": True}),
    "a label": ("/labels", {"id": "a", "label": HALF}),
    "a label beyond numbers": ("/labels", {"id": "a", "label": 10**400}),
    "a label's time": ("/labels", {"id": "a", "label": True, "time": "0001-01-01T00:00:00+10:00"}),
    "a label of 1500": ("/labels", {"id": "a", "label": True, "time": "1500-01-01"}),
    "a label's odd time": ("/labels", {"id": "a", "label": True, "time": HALF}),
    "a field of a label": ("/labels", {"id": "a", "label": True, HALF: 1}),
    "a judge's row": ("/judge", {"rows": [{"time": "0001-01-01T00:00:00+10:00", "scores": {}}], "classes": [0, 1]}),
    "a judge's label": ("/judge", {"champion_loss": [0.1], "challenger_loss": [0.1], HALF: 1}),
    "a judge's number": ("/judge", {"champion_loss": [10**400], "challenger_loss": [0.1]}),
}


@pytest.mark.parametrize("case", ODD)
def test_what_cannot_be_stored_is_refused_wherever_it_stands(world, case):
    http, _, store = world
    path, body = ODD[case]
    before = len(log_of(store))
    with answering(http):
        assert http.post(path, body)
    assert len(log_of(store)) == before + 1


NUMBERS = ["1_000", " 12 ", "0x10", "१२", "1_2.5", "1e", "--1", "1,5", "٣"]


@pytest.mark.parametrize("cell", NUMBERS)
@pytest.mark.parametrize("column", ["number", "integer"])
def test_a_cell_that_only_python_reads_as_a_number_is_none(world, column, cell):
    text = as_csv([{**PLAIN, "number": 1.25, "integer": 7654}]).decode()
    body = text.replace("1.25" if column == "number" else "7654", f'"{cell}"')
    said = world[0].post("/invocations", body.encode(), {"content-type": "text/csv"})
    assert f"column '{column}'" in said


LABELS = {
    "a good one": ("a,true,2013-03-01T12:00:00Z", True),
    "a date": ("a,true,2013-03-01", True),
    "no seconds": ("a,true,2013-03-01 12:00", True),
    "before the calendar": ("a,true,0001-01-01T00:00:00+10:00", False),
    "after the calendar": ("a,true,9999-12-31T23:59:59-10:00", False),
    "before events": ("a,true,1500-01-01", False),
    "a word for a time": ("a,true,noon", False),
    "another class": ("a,perhaps,2013-03-01", False),
    "no id": (",true,2013-03-01", False),
    "a long id": ("x" * 201 + ",true,2013-03-01", False),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_taken_and_refused_alike_by_http_and_in_files(world, case, tmp_path):
    http, made, _ = world
    line, taken = LABELS[case]
    one, label, time = line.split(",")
    value = {"true": True}.get(label, label)
    with answering(http):
        by_http = http.post("/labels", {"id": one, "label": value, "time": time})
    (tmp_path / "labels.csv").write_text(f"id,label,time\n{line}\n")
    (tmp_path / "labels.jsonl").write_text(json.dumps({"id": one or None, "label": value, "time": time}) + "\n")
    said = {}
    for name in ("labels.csv", "labels.jsonl"):
        try:
            read_labels(tmp_path / name, made.signature, NOON)
            said[name] = None
        except DataError as error:
            said[name] = str(error)
    assert {name: why is None for name, why in {**said, "http": by_http}.items()} == dict.fromkeys(
        [*said, "http"], taken
    )
