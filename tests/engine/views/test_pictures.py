"""The pictures: well-formed, self-contained, the same for the same values, and holding what was given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from homeostat.engine.views.charts import Mark, lines, shares

MARCH = datetime(2013, 3, 1, tzinfo=UTC)


def day(number):
    return MARCH + timedelta(days=number)


def quality():
    return lines(
        {"loop": [(day(0), 0.75), (day(30), None), (day(60), 0.76)], "frozen": [(day(0), 0.74), (day(60), 0.7)]},
        title="The loop keeps what the frozen model loses",
        unit="ROC AUC",
        marks=[Mark(day(10), "promoted"), Mark(day(40), "rolled_back", "v12 & pushed <by hand>")],
        between=("loop", "frozen"),
    )


def traffic():
    changes = [(day(0), {1: 1.0}), (day(20), {1: 0.95, 2: 0.05}), (day(30), {2: 1.0})]
    return shares(changes, day(60), title="Who answered", marks=[Mark(day(30), "promoted")])


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("draw", [quality, traffic])
def test_the_same_values_give_the_same_picture(draw):
    assert draw() == draw()


@pytest.mark.parametrize("draw", [quality, traffic])
def test_a_picture_needs_nothing_from_elsewhere(draw):
    svg = draw()
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    links = [value for element in root.iter() for name, value in element.attrib.items() if name.endswith("href")]
    assert all(link.startswith("#") for link in links)
    assert "<script" not in svg
    assert "@import" not in svg


def test_lines_name_themselves_and_what_happened():
    seen = texts(quality())
    assert "The loop keeps what the frozen model loses" in seen
    assert "v12 & pushed <by hand>" in seen
    assert {"promoted", "rolled back"} <= set(seen)
    assert any(text.startswith("loop") and "0.760" in text for text in seen)


def test_versions_that_answered_are_named():
    assert {"v1", "v2", "promoted"} <= set(texts(traffic()))


def test_a_loop_on_which_nothing_happened_can_be_drawn():
    assert "<svg" in lines({}, title="nothing yet")
    assert "<svg" in shares([], day(1), title="nothing yet")
