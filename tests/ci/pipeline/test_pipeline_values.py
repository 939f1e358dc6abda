"""What a step gets is what the artifact holds: no step can change what another one, or a resumed run, is given."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from homeostat.ci.pipeline import Pipeline, step
from homeostat.core.errors import StepFailedError


def made():
    return {"rows": [1, 2], "table": pl.DataFrame({"n": [1, 2]})}


def spoils(made):
    made["rows"].append(3)
    made["table"].insert_column(0, pl.Series("x", [0, 0]))
    return len(made["rows"])


def reads(made, spoils):
    return [made["rows"], made["table"].columns]


def test_a_value_that_one_step_changes_in_place_is_unchanged_for_the_next(store):
    finished = Pipeline(made, spoils, reads).run(store, loop="x", workers=1)
    assert finished["reads"] == [[1, 2], ["n"]]


def test_a_table_that_one_step_changes_in_place_is_unchanged_for_the_next(store):
    def spoils_table(table):
        table.insert_column(0, pl.Series("x", [0]))
        return table.width

    pipeline = Pipeline(
        step(lambda: pl.DataFrame({"n": [1]}), name="table"),
        spoils_table,
        step(lambda table, spoils_table: table.width, name="width"),
    )
    assert pipeline.run(store, loop="x", workers=1)["width"] == 1


def test_changing_an_array_in_place_is_refused_whether_it_was_just_made_or_stored(store):
    def doubled(array):
        array *= 2
        return array

    pipeline = Pipeline(step(lambda: np.arange(3), name="array"), doubled)
    for _ in range(2):
        with pytest.raises(StepFailedError, match="read-only"):
            pipeline.run(store, loop="x")


def test_inputs_are_handed_over_as_they_are(store):
    source = [1, 2]
    seen = []

    def same(source):
        seen.append(source)
        return 0

    Pipeline(same).run(store, loop="x", inputs={"source": source})
    assert seen[0] is source


def test_the_outputs_of_a_run_are_decoded_when_asked_for(store):
    finished = Pipeline(made, spoils, reads).run(store, loop="x")
    assert list(finished) == ["made", "spoils", "reads"]
    assert finished["made"]["table"].equals(pl.DataFrame({"n": [1, 2]}))
    assert finished["made"] is not finished["made"]


def test_a_step_may_return_nothing(store):
    def nothing() -> None:
        return None

    pipeline = Pipeline(nothing, step(lambda nothing: nothing is None, name="after"))
    assert pipeline.run(store, loop="x")["after"] is True


@pytest.mark.parametrize(
    ("declared", "value"),
    [(list, [1]), (float, 1), ("pl.DataFrame", pl.DataFrame()), ("dict[str, int]", {"a": 1}), ("int | None", None)],
    ids=str,
)
def test_a_value_of_the_declared_type_is_accepted(store, declared, value):
    def typed():
        return CONSTANT[0]

    CONSTANT[:] = [value]
    typed.__annotations__["return"] = declared
    Pipeline(typed).run(store, loop="x")


CONSTANT: list[object] = []


def test_an_array_inside_a_container_is_a_step_s_own(store):
    def both():
        return {"n": np.arange(3)}

    def doubled(both):
        both["n"] *= 2
        return both["n"].sum()

    pipeline = Pipeline(both, doubled, step(lambda both, doubled: both["n"].sum(), name="untouched"))
    finished = pipeline.run(store, loop="x", workers=1)
    assert (finished["doubled"], finished["untouched"]) == (6, 3)
