"""A pipeline is wired by names, and every mistake in it is reported at once, before anything runs."""

from __future__ import annotations

import json

import pytest

from homeostat.ci.pipeline import Pipeline, step
from homeostat.core.errors import LoopError


def rows(source, *, low=0):
    return [row for row in source if row >= low]


def clean(rows, *, rate):
    return [row * rate for row in rows]


def total(clean, rows):
    return sum(clean) + len(rows)


def test_parameters_name_steps_and_inputs():
    pipeline = Pipeline(rows, clean, total)
    assert pipeline.steps == ("rows", "clean", "total")
    assert pipeline.inputs == ("source",)


def test_steps_may_be_given_in_any_order():
    assert Pipeline(total, clean, rows).steps == ("rows", "clean", "total")


def test_the_description_is_plain_json():
    described = json.loads(json.dumps(Pipeline(rows, total, clean).describe()))
    assert described["inputs"] == ["source"]
    assert [each["name"] for each in described["steps"]] == ["rows", "clean", "total"]
    assert described["steps"][0]["settings"] == {"low": 0}


def test_the_digest_follows_the_definition():
    pipeline = Pipeline(rows, clean, total)
    assert pipeline.digest == Pipeline(rows, clean, total).digest
    assert pipeline.digest != pipeline.replace(clean=lambda rows, *, rate: rows).digest


def test_a_step_can_be_replaced_and_the_rest_stays(store):
    pipeline = Pipeline(rows, clean, total).replace(clean=lambda rows: rows)
    assert pipeline.run(store, loop="x", inputs={"source": [1, 2]})["total"] == 5


def test_a_function_can_be_a_step_under_another_name(store):
    pipeline = Pipeline(step(lambda: [3], name="rows"), step(clean, name="scaled"), lambda_total())
    assert pipeline.run(store, loop="x", settings={"scaled.rate": 2})["sums"] == 6


def lambda_total():
    return step(lambda scaled: sum(scaled) + 0, name="sums")


def star(*rows): ...
def stars(rows, **more): ...
def positional(rows, low=0): ...
def circle(square): ...
def square(circle): ...
async def later(rows): ...


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ((), "at least one step"),
        ((rows, rows), "two steps are called `rows`"),
        ((rows, star), r"`star` takes \*rows"),
        ((rows, stars), r"`stars` takes \*\*more"),
        ((rows, positional), r"put `\*,` before it"),
        ((circle, square), "in a circle: `circle` -> `square` -> `circle`|`square` -> `circle` -> `square`"),
        ((rows, later), "coroutine"),
        ((lambda rows: rows,), "give it one with step"),
        ((rows, 3), "not a function"),
    ],
    ids=["empty", "twice", "star", "stars", "positional", "circle", "async", "lambda", "number"],
)
def test_a_wiring_mistake_is_named(functions, said):
    with pytest.raises(LoopError, match=said):
        Pipeline(*functions)


def test_all_wiring_mistakes_are_reported_at_once():
    with pytest.raises(LoopError) as caught:
        Pipeline(rows, rows, star, positional, circle, square)
    for said in ("two steps", "`star`", "`low`", "circle"):
        assert said in str(caught.value)


def test_a_misspelt_input_is_found_when_inputs_are_stated():
    with pytest.raises(LoopError, match="did you mean `source`"):
        Pipeline(lambda_rows(), inputs=("source",))


def lambda_rows():
    return step(lambda sorce: sorce, name="rows")


def test_inputs_and_settings_are_checked_whole_before_anything_is_recorded(store):
    with pytest.raises(LoopError) as caught:
        Pipeline(rows, clean, total).run(
            store, loop="x", inputs={"sauce": 1, "clean": 2}, settings={"rows.lo": 1, "nothing.at_all": 2}
        )
    said = str(caught.value)
    assert "input `source` is missing (did you mean `sauce`?)" in said
    assert "no step takes the input `sauce`" in said
    assert "input `clean` has the name of a step" in said
    assert "`rows.lo` (did you mean `rows.low`?)" in said
    assert "no step has the setting `nothing.at_all`" in said
    assert "setting `clean.rate` is missing" in said
    assert store.ledger.newest() == 0


def test_replacing_what_is_not_there_is_refused():
    with pytest.raises(LoopError, match="no step `train`"):
        Pipeline(rows).replace(train=clean)
