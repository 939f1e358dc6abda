"""L1: every step of a Loop's pipeline is a plain function; run by hand, it gives what the orchestrated run stored."""

from __future__ import annotations

import inspect

import pytest

from homeostat.ci.pipeline import Pipeline
from homeostat.core.codecs import encode
from homeostat.loop import steps
from homeostat.loop.pipeline import settings_of
from tests.ci import small_loop


@pytest.fixture
def finished(store):
    return small_loop.run(store)


def by_hand(store):
    """Call the functions one after the other, in a file, a shell or a notebook; yields each name with its result."""
    loop = small_loop.small_loop()
    values = small_loop.inputs(store, loop)
    settings = settings_of(loop)
    for function in steps.STEPS:
        name = function.__name__
        needs = [each.name for each in inspect.signature(function).parameters.values() if each.kind < each.KEYWORD_ONLY]
        own = {dotted.partition(".")[2]: value for dotted, value in settings.items() if dotted.startswith(f"{name}.")}
        values[name] = function(*(values[need] for need in needs), **own)
        yield name, values[name]


def test_steps_run_by_hand_give_the_hashes_of_the_orchestrated_run(store, finished):
    hashes = {name: store.artifacts.put(encode(value, store.artifacts)) for name, value in by_hand(store)}
    assert hashes == finished.outputs


def test_any_step_can_be_run_alone_on_stored_inputs(store, finished):
    alone = Pipeline(steps.split, inputs=("rows", "validation"))
    again = alone.run(
        store,
        loop="flights",
        inputs={"rows": finished["rows"], "validation": finished["validation"]},
        settings={"split.test": 0.2},
    )
    assert again.outputs == {"split": finished.outputs["split"]}
