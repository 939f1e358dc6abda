"""One model that takes every kind of column, and every door by which its rows come in."""

from __future__ import annotations

import csv
import io
import json
import struct
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
from sklearn.linear_model import LogisticRegression

from homeostat.cd.infer import infer
from homeostat.cd.log import PredictionRecord
from homeostat.cd.stream import Champions, stream
from homeostat.ci.admit import schema_of
from homeostat.ci.collect import collect
from homeostat.connect import FileSource, FolderSource, FrameSource, JsonLinesSink, TailSource
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import HomeostatError
from homeostat.core.table.spec import table_spec
from homeostat.loop.embedded import LoadedModel
from tests.cd.serving import LOOP, NOON, Client, bundle, log_of, promote, register

SPEC = table_spec("at", "id", target="y")
PLAIN = {
    "id": "r",
    "at": "2013-03-01T12:00:00+00:00",
    "number": 1.5,
    "integer": 7,
    "boolean": True,
    "category": "red",
    "text": "word",
    "time": "2013-03-01T12:00:00+00:00",
}
"""A row that every door takes."""
MISSING = object()
_DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}


def rows_for(spec=SPEC, n=300):
    """Rows to train on; the text column has more values than a category."""
    draw = np.random.default_rng(0)
    hours = [NOON + timedelta(hours=place) for place in range(n)]
    columns = {
        "at": hours,
        "number": draw.normal(size=n),
        "integer": draw.integers(0, 9, n),
        "boolean": draw.random(n) < 0.5,
        "category": draw.choice(["red", "blue"], n),
        "text": [f"word {place}" for place in range(n)],
        "time": hours,
        "y": draw.random(n) < 0.5,
    }
    keys = {name: [f"{name}{place}" for place in range(n)] for name in spec.key}
    times = {"at": pl.Datetime("us", "UTC"), "time": pl.Datetime("us", "UTC")}
    return pl.DataFrame({**keys, **columns}, schema_overrides=times)


def model(store, spec=SPEC):
    """The model, champion of a store."""
    made = bundle(rows_for(spec), model=LogisticRegression(), spec=spec)
    promote(store, register(store, made))
    return made.model()


# What a door says: None when it took the row, else its reason.


def _replied(reply):
    if reply.status_code == 200:
        return None
    assert reply.status_code in (400, 413), (reply.status_code, reply.text)
    return json.dumps(reply.json(), ensure_ascii=False)


def as_json(value):
    """JSON of what Python can say, NaN and halves of surrogate pairs included."""
    return json.dumps(value).encode()


class Http:
    """The routes of a server."""

    def __init__(self, app):
        self.client = Client(app)

    def post(self, path, body, headers=None):
        return _replied(self.client.post(path, as_json(body) if not isinstance(body, bytes) else body, headers))

    def one(self, row):
        return self.post("/predict", row)

    def many(self, row):
        others = [{**PLAIN, "id": f"m{place}"} for place in range(20)]
        return self.post("/predict", [*others, row])

    def records(self, row):
        return self.post("/predict", {"records": [PLAIN, row], "ids": ["a", "b"]})

    def v2(self, row):
        inputs = [
            {"name": name, "shape": [1], "datatype": _DATATYPES.get(name, "BYTES"), "data": [value]}
            for name, value in row.items()
        ]
        return self.post(f"/v2/models/{LOOP}/infer", {"inputs": inputs})

    def binary(self, row):
        packed = {name: _packed(name, value) for name, value in row.items()}
        if None in packed.values():
            return MISSING
        inputs = [
            {"name": name, "shape": [1], "datatype": kind, "parameters": {"binary_data_size": len(data)}}
            for name, (kind, data) in packed.items()
        ]
        head = as_json({"inputs": inputs})
        body = head + b"".join(data for _, data in packed.values())
        return self.post(f"/v2/models/{LOOP}/infer", body, {"inference-header-content-length": str(len(head))})

    def split(self, row):
        return self.post("/invocations", {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}})

    def dataframe_records(self, row):
        return self.post("/invocations", {"dataframe_records": [PLAIN, row]})

    def instances(self, row):
        return self.post("/invocations", {"instances": [row]})

    def inputs(self, row):
        return self.post("/invocations", {"inputs": {name: [value] for name, value in row.items()}})

    def invoked_csv(self, row):
        text = as_csv([row])
        return MISSING if text is None else self.post("/invocations", text, {"content-type": "text/csv"})


def _packed(name, value):
    """A value as a binary tensor that can say it; None where there is none."""
    if isinstance(value, bool):
        return "BOOL", bytes([value])
    if isinstance(value, int):
        kind, form = ("INT64", "<q") if -(2**63) <= value < 2**63 else ("UINT64", "<Q")
        return (kind, struct.pack(form, value)) if value < 2**64 else None
    if isinstance(value, float):
        return "FP64", struct.pack("<d", value)
    data = value.encode(errors="surrogatepass")
    return "BYTES", struct.pack("<I", len(data)) + data


def as_csv(rows):
    """Rows as CSV, where it can say them: it has no types, and its empty text is nothing."""
    for row in rows:
        for name, value in row.items():
            if name in ("text", "category", "id", "time", "at") and not isinstance(value, str):
                return None
            if (value == "" or not _encodable(value)) or (name in _DATATYPES and isinstance(value, str)):
                return None
            if isinstance(value, int) and abs(value) >= 10**18:  # a file's digits of that number are a code
                return None
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(list(rows[0]))
    lines.writerows([_cell(value) for value in row.values()] for row in rows)
    return written.getvalue().encode()


def _cell(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encodable(value):
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def write(folder, rows, ending):
    """Rows as a file of that ending, or None where it cannot say them."""
    if ending == "csv":
        data = as_csv(rows)
    elif ending == "jsonl":
        data = b"".join(as_json(row) + b"\n" for row in rows)
    elif ending == "json":
        data = as_json(rows)
    else:
        frame = polars_frame(rows)
        data = None if frame is None else _parquet(frame)
    if data is None:
        return None
    path = folder / f"rows.{ending}"
    path.write_bytes(data)
    return path


def _parquet(frame):
    written = io.BytesIO()
    frame.write_parquet(written)
    return written.getvalue()


def polars_frame(rows):
    """Rows as Polars has them, or None where it has no such value."""
    try:
        return pl.DataFrame({name: [row[name] for row in rows] for name in rows[0]})
    except (TypeError, UnicodeEncodeError, OverflowError):
        return None


class Arrow:
    """A table that speaks Arrow's C stream interface and nothing else."""

    def __init__(self, frame):
        self.__arrow_c_stream__ = frame.__arrow_c_stream__


FRAMES = {
    "polars": polars_frame,
    "dicts": lambda rows: rows,
    "columns": lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
    "pandas": pd.DataFrame,
    "arrow": lambda rows: None if (frame := polars_frame(rows)) is None else Arrow(frame),
}


def _told(act):
    try:
        act()
    except HomeostatError as error:
        return str(error)
    return None


class Tables:
    """The doors of files and frames: batch inference, the program's own rows, streams, and the training table."""

    def __init__(self, store, made, folder):
        self.store, self.model, self.folder = store, made, folder
        self.loaded = LoadedModel(LOOP, 1, made)
        self._count = 0

    def infer(self, row, ending):
        path = write(self._fresh(), [row], ending)
        return MISSING if path is None else _told(lambda: infer(self.model, path, path.with_name("out.parquet")))

    def program(self, row, kind):
        table = FRAMES[kind]([row])
        return MISSING if table is None else _told(lambda: self.loaded.predict(table))

    def tail(self, row):
        """The row before one that every stream takes, which has to be answered."""
        folder = self._fresh()
        (folder / "rows.jsonl").write_bytes(as_json(row) + b"\n" + as_json(PLAIN) + b"\n")
        return self._streamed(TailSource(folder / "rows.jsonl"), folder)

    def folder_of(self, row, ending):
        folder = self._fresh()
        (folder / "in").mkdir()
        if write(folder / "in", [row], ending) is None:
            return MISSING
        (folder / "in" / "zz.jsonl").write_bytes(as_json(PLAIN) + b"\n")
        return self._streamed(FolderSource(folder / "in", self.model.manifest.schema), folder)

    def _streamed(self, source, folder):
        out = folder / "out.jsonl"
        for _ in range(2):  # the second goes on from where the first ended: nothing that was set aside comes again
            champions = Champions(self.store, LOOP)
            stream(champions, source, JsonLinesSink(out), clock=VirtualClock(NOON), once=True)
        answered = len(out.read_text().splitlines())
        dead = [json.loads(line) for line in (folder / "out.dead.jsonl").read_text().splitlines()]
        assert answered + len(dead) == 2, (answered, dead)
        return dead[0]["reason"] if dead else None

    def collect_file(self, rows, ending):
        path = write(self._fresh(), [{**row, "y": True} for row in rows], ending)
        if path is None:
            return MISSING
        return self._collected(FileSource(path, time="at", key="id", target="y", text=("text", "category", "id")))

    def collect_frame(self, rows, kind):
        table = FRAMES[kind]([{**row, "y": True} for row in rows])
        return MISSING if table is None else self._collected(FrameSource(table, time="at", key="id", target="y"))

    def _collected(self, source):
        table = self.store.table(LOOP, "rows", SPEC)
        before, accepted = table.version, schema_of(self.store, LOOP)
        said = _told(lambda: collect(source, table, self.store.ledger, LOOP, VirtualClock(NOON), accepted=accepted))
        assert said is None or table.version == before, "a refused file has left rows"
        return said

    def _fresh(self):
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir()
        return folder


@contextmanager
def answering(client):
    """Whatever happens inside, the next request is answered."""
    yield
    assert client.post("/predict", PLAIN) is None


def logged(store):
    """Ids in the prediction log, in order."""
    return [row.id for record in log_of(store) if isinstance(record, PredictionRecord) for row in record.rows]
