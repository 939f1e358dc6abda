"""MLflow's scoring protocol: every format gives the same rows, and what does not fit is refused by name."""

from __future__ import annotations

import json

import pytest

from homeostat.cd.serve.protocols.mlflow import decode
from homeostat.cd.serve.rows import RowDecoder
from homeostat.core.errors import DataError
from homeostat.core.schema import infer_schema
from tests.cd.serving import SPEC, flights, raw

ROWS = raw(flights(2, seed=9))
NAMES = list(ROWS[0])
VALUES = [list(row.values()) for row in ROWS]
SCHEMA = infer_schema(flights(), SPEC)
DECODER = RowDecoder(SCHEMA.inputs, SPEC.key)
SPLIT = {"columns": NAMES, "data": VALUES}
CSV = "\n".join([",".join(NAMES), *(",".join(map(str, values)) for values in VALUES)]).encode()


def rows(body, content_type=b"application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode(data, content_type, DECODER)


EXPECTED = DECODER.rows(ROWS)

FORMS = {
    "split": {"dataframe_split": SPLIT},
    "split with an index": {"dataframe_split": {**SPLIT, "index": [0, 1]}},
    "split in another order": {
        "dataframe_split": {"columns": NAMES[::-1], "data": [values[::-1] for values in VALUES]}
    },
    "records": {"dataframe_records": ROWS},
    "instances": {"instances": ROWS},
    "columns": {"inputs": {name: [row[name] for row in ROWS] for name in NAMES}},
    "columns of shape (n, 1)": {"inputs": {name: [[row[name]] for row in ROWS] for name in NAMES}},
    "records as inputs": {"inputs": ROWS},
    "empty params": {"dataframe_split": SPLIT, "params": {}},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same_rows(form):
    assert rows(FORMS[form]) == EXPECTED


@pytest.mark.parametrize("content_type", [b"text/csv", b"text/csv; charset=utf-8", b"Text/CSV"])
def test_csv_gives_the_same_rows(content_type):
    assert rows(CSV, content_type) == EXPECTED


def test_an_empty_cell_is_null():
    row = rows(CSV.replace(str(ROWS[0]["wind"]).encode(), b""), b"text/csv")[0]
    assert getattr(row, DECODER.fields["wind"]) is None


BROKEN = {
    "no format": ({"rows": ROWS}, ["0 of dataframe_split"]),
    "a list": (ROWS, ["0 of dataframe_split"]),
    "two formats": ({"instances": ROWS, "inputs": ROWS}, ["2 of"]),
    "params": ({"instances": ROWS, "params": {"threshold": 1}}, ["params"]),
    "an unknown field": ({"instances": ROWS, "signature_name": "x"}, ["'signature_name'"]),
    "values without names": ({"instances": VALUES}, ["row 0", "without names"]),
    "instances that are no list": ({"instances": {}}, ["instances is no list"]),
    "no columns": ({"dataframe_split": {"data": VALUES}}, ["no list of column names"]),
    "no data": ({"dataframe_split": {"columns": NAMES}}, ["no data"]),
    "a ragged row": ({"dataframe_split": {**SPLIT, "data": [VALUES[0], VALUES[1][1:]]}}, ["row 1", "4 values for 5"]),
    "a row that is no list": ({"dataframe_split": {**SPLIT, "data": [3]}}, ["row 0", "no list"]),
    "a column twice": ({"dataframe_split": {"columns": ["wind"] * 5, "data": VALUES}}, ["'wind'", "twice"]),
    "ragged columns": ({"inputs": {"wind": [1], "carrier": []}}, ["different numbers of rows"]),
    "a column that is no list": ({"inputs": {"wind": 1}}, ["no object of columns"]),
    "a text for a number": ({"instances": [{**ROWS[0], "wind": "strong"}]}, ["row 0", "'wind'", "'strong'"]),
    "NaN": ({"instances": [{**ROWS[0], "wind": float("nan")}]}, ["row 0", "'wind'", "nan"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_is_refused_by_name(case):
    body, words = BROKEN[case]
    with pytest.raises(DataError) as caught:
        rows(body)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "no CSV"),
        (b"wnd\n1", "'wnd' is unexpected"),
        (CSV + b"\n1,2", "row 2"),
        (CSV.replace(b"UA", b'"U').replace(b"AA", b'"A').replace(b"B6", b'"B'), "no CSV"),
        (CSV.replace(str(ROWS[1]["distance"]).encode(), b"far"), "row 1, column 'distance'"),
        (CSV.replace(str(ROWS[1]["distance"]).encode(), b"1" * 5_000), "row 1, column 'distance'"),
        (CSV.replace(str(ROWS[1]["wind"]).encode(), b"nan"), "row 1, column 'wind': holds nan"),
    ],
)
def test_csv_that_does_not_fit_is_refused_by_name(body, words):
    with pytest.raises(DataError, match=words):
        rows(body, b"text/csv")
