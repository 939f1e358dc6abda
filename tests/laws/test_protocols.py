"""Every protocol of the table keeps the laws of protocols, and stands in the guide for those who call."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homeostat.cd.serve.protocols import PROTOCOLS
from tests.laws.protocol_laws import every_law, every_model, spoken

ROOT = Path(__file__).resolve().parents[2]


@every_law
@every_model
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda one: one.route)
def test_every_protocol_keeps(law, model, protocol, store):
    with spoken(store, protocol, PROTOCOLS, model) as one:
        law(one, store)


@pytest.mark.parametrize("path", [path for one in PROTOCOLS for path in one.paths])
def test_every_path_is_in_the_guide(path):
    written = (ROOT / "docs" / "serving.md").read_text()
    number = "[/versions/{v}]"
    assert path in written.replace(number, "") + written.replace(number, "/versions/{version}")


def test_nothing_but_the_table_knows_a_protocol_by_its_file():
    folder = ROOT / "src" / "homeostat" / "cd" / "serve" / "protocols"
    named = re.compile(r"protocols(\.| import )(records|openinference|tensors|binary|mlflow)\b")
    sources = [file for file in (ROOT / "src").rglob("*.py") if not file.is_relative_to(folder)]
    assert [file for file in sources if named.search(file.read_text())] == []
    assert len(named.findall((folder / "table.py").read_text())) == len(PROTOCOLS)
