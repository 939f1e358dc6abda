"""Events of a pipeline run: begun, step by step, ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from homeostat.core.events.values import Event, Outcome, RunContext, RunStatus, Trigger


class RunStarted(Event, tag="run_started", frozen=True, kw_only=True):
    """A pipeline began."""

    run: str
    pipeline: str
    """SHA-256 of the pipeline's definition: step names, wiring and code."""
    steps: tuple[str, ...]
    trigger: Trigger
    environment: RunContext
    settings: dict[str, Any]
    """`step.setting` to its value where it is plain JSON, to its fingerprint otherwise."""
    given: tuple[str, ...] = ()
    """The settings that the caller stated; the others are defaults of the code."""
    inputs: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """Input name to its `fingerprint` and, where the value is small enough to be kept for a resume, its `artifact`."""
    executor: str = "threads"
    """What the steps ran on."""
    resumes: str | None = None


class StepFinished(Event, tag="step_finished", frozen=True, kw_only=True):
    """One step of a run ended.

    Attributes:
        key: The cache key, or None when the step cannot be fingerprinted.
        parts: What the key was made of: name of the part to its fingerprint or printable value.
        outcome: `ran`, `hit` (taken from the cache) or `failed`.
        why: One sentence: why it ran or was reused.
        output: Artifact hash of the result.
    """

    run: str
    step: str
    key: str | None
    parts: dict[str, str]
    outcome: Outcome
    why: str
    output: str | None
    started: datetime
    ended: datetime
    error: str | None = None


class RunFinished(Event, tag="run_finished", frozen=True, kw_only=True):
    """A pipeline ended. `stopped` means that the data were refused; `interrupted` that its process died."""

    run: str
    trigger: str
    status: RunStatus
    outputs: dict[str, str]
    """Step name to artifact hash."""
    error: str | None = None


class TrainingEnded(Event, tag="training_ended", frozen=True, kw_only=True):
    """A training command ended without a version: its run failed, was stopped by the data, or was cancelled."""

    trigger: str
    run: str | None
    status: Literal["failed", "stopped", "cancelled"]
    error: str
