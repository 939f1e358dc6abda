"""The OpenAPI document says what the model's signature says."""

from __future__ import annotations

import json

import pytest

from homeostat.cd.serve.protocols import PROTOCOLS
from homeostat.cd.serve.protocols.openapi import Described, document, row_schema
from tests.cd.serving import bundle

SIGNATURE = bundle().manifest.signature
MODELS = [Described("flights", (1, 2), SIGNATURE), Described("other", (3,), SIGNATURE)]


def made(**told):
    return document(MODELS, PROTOCOLS, **{"version": "0", "most_rows": 10, "token": False, **told})


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_reference_is_there():
    told = made()
    found = list(references(told))
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in told["components"]["schemas"]


def test_a_row_is_exactly_the_columns_of_the_model():
    row = row_schema(SIGNATURE)
    assert list(row["properties"]) == [column.name for column in SIGNATURE.inputs]
    assert row["required"] == ["scheduled", "carrier", "distance", "wind"]
    assert row["additionalProperties"] is False
    assert row["properties"]["wind"] == {"type": ["number", "null"]}
    assert row["properties"]["distance"] == {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert row["properties"]["carrier"] == {"type": "string", "examples": ["AA", "B6", "UA"]}


def test_every_model_has_its_routes():
    paths = made()["paths"]
    for name, versions in (("flights", [1, 2]), ("other", [3])):
        assert "post" in paths[f"/v2/models/{name}/infer"]
        (number,) = paths[f"/v2/models/{name}/versions/{{version}}/infer"]["parameters"]
        assert number["schema"]["enum"] == versions


def test_without_a_model_the_rest_is_still_described():
    told = document([], PROTOCOLS, version="0", most_rows=10, token=False)
    assert "/health" in told["paths"]
    assert "/predict" not in told["paths"]


@pytest.mark.parametrize("token", [True, False])
def test_a_token_is_said_when_it_is_needed(token):
    assert ("security" in made(token=token)) is token


def test_it_is_json():
    assert json.loads(json.dumps(made())) == made()
