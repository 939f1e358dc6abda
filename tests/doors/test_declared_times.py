"""A form of times that the source declares holds for requests too, in JSON and in binary tensors."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from homeostat.cd.serve.protocols.tensors import TensorDecoder
from homeostat.cd.serve.rows import RowDecoder, RowsError
from homeostat.core.model.signature import Signature
from homeostat.core.schema import Column

DAY = datetime(2013, 2, 1, tzinfo=UTC)
FORMS = {
    "%d.%m.%Y": ("01.02.2013", DAY),
    "%m/%d/%Y": ("02/01/2013", DAY),
    "%Y-%d-%m": ("2013-01-02", DAY),
    "s": (1359676800, DAY),
    "ms": (1359676800000, DAY),
}


def decoders(form):
    column = Column(name="at", kind="time", nullable=False, form=form)
    signature = Signature(inputs=(column,), key=(), time="at", target="y", task="regression")
    rows = RowDecoder((column,), (), "at")
    return rows, TensorDecoder(rows, signature)


@pytest.mark.parametrize("form", FORMS)
def test_a_declared_form_is_read_in_a_request(form):
    value, moment = FORMS[form]
    rows, _ = decoders(form)
    assert rows.body(json.dumps({"at": value}).encode()).rows[0].c0 == moment
    assert rows.body(json.dumps([{"at": value}] * 20).encode()).columns["at"] == (moment,) * 20
    assert rows.rows([{"at": value}])[0].c0 == moment


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%m/%d/%Y", "%Y-%d-%m"])
def test_a_declared_form_is_read_in_tensors(form):
    value, moment = FORMS[form]
    tensors = decoders(form)[1]
    tensor = {"name": "at", "shape": [1], "datatype": "BYTES"}
    found = tensors.json(json.dumps({"inputs": [{**tensor, "data": [value]}]}).encode())
    assert found.rows[0].c0 == moment
    data = len(value).to_bytes(4, "little") + value.encode()
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}]}).encode()
    found = tensors.binary(head + data, len(head))
    assert found.rows[0].c0 == moment


@pytest.mark.parametrize(
    ("form", "value"), [("%d.%m.%Y", "31.31.2013"), ("s", "soon"), ("s", True), (None, 1359676800)]
)
def test_what_a_form_does_not_read_is_refused_by_row_and_column(form, value):
    with pytest.raises(RowsError, match="row 0, column 'at'"):
        decoders(form)[0].body(json.dumps({"at": value}).encode())
