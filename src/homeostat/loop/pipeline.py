"""The pipeline of a Loop: the standard steps, the user's in place of some, and the settings from the declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.loop import steps

if TYPE_CHECKING:
    from homeostat.ci.pipeline import Pipeline
    from homeostat.loop.declaration import Loop


def pipeline_of(loop: Loop) -> Pipeline:
    """The graph that every run of the loop executes."""
    from homeostat.ci.pipeline import Pipeline

    return Pipeline(*steps.STEPS, inputs=steps.INPUTS).replace(**loop.steps)


def settings_of(loop: Loop) -> dict[str, Any]:
    """`step.setting` to value, for the steps that are the standard ones."""
    slices = tuple(dict.fromkeys(column for gate in loop.gates for column in getattr(gate, "slices", ())))
    settings = {
        "rows.how": loop.how,
        "validation.text": loop.form.text,
        "split.test": loop.test,
        "model.loop": loop.name,
        "model.estimator": loop.model,
        "model.features": loop.features,
        "model.how": loop.how,
        "model.seed": loop.seed,
        "model.trusted": loop.trusted_types,
        "model.metric": loop.metric,
        "model.candidates": loop.candidates,
        "evaluation.features": loop.features,
        "evaluation.metric": loop.metric,
        "evaluation.slices": slices,
        "evaluation.behaviours": loop.behaviours,
        "evaluation.trusted": loop.trusted_types,
        "verdicts.gates": loop.gates,
    }
    return {name: value for name, value in settings.items() if name.partition(".")[0] not in loop.steps}
