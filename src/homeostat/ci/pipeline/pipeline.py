"""Pipeline: plain functions wired by their parameters' names, run with a content-addressed cache."""

from __future__ import annotations

import getpass
import math
from typing import TYPE_CHECKING, Any

from homeostat.ci.pipeline.contract import refuse_blanks
from homeostat.ci.pipeline.environment import current_environment
from homeostat.ci.pipeline.graph import Graph, Step, build, step
from homeostat.ci.pipeline.inflight import inflight_of
from homeostat.ci.pipeline.record import Recorder, alive_name, mark_interrupted, start_of
from homeostat.ci.pipeline.runner import Execution, NamedValue, name_code, name_value
from homeostat.core import codecs
from homeostat.core import events as ev
from homeostat.core.clock import Clock, SystemClock, new_id
from homeostat.core.errors import CodecError, HomeostatError, LoopError, NotFoundError, RefusedError
from homeostat.core.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from homeostat.core.artifacts import ArtifactStore
    from homeostat.core.store import Store

_EXECUTOR = "threads"
_KEPT_BYTES = 64 * 1024
_SHA = "sha256:"


class Run:
    """A finished run. `run["train"]` decodes a step's output when it is asked for.

    Attributes:
        id: What `homeostat run --resume` and `homeostat why` take.
        status: `succeeded`; a run that did not succeed raises instead.
        outputs: Step name to artifact hash.
    """

    def __init__(self, run: str, status: ev.RunStatus, outputs: dict[str, str], blobs: ArtifactStore) -> None:
        self.id = run
        self.status = status
        self.outputs = outputs
        self._blobs = blobs

    def __getitem__(self, name: str) -> Any:
        """The output of a step."""
        if name not in self.outputs:
            raise NotFoundError(f"run {self.id} has no step `{name}`", hint=f"it has {', '.join(self.outputs)}")
        return codecs.decode(self._blobs.get(self.outputs[name]), self._blobs)

    def __iter__(self) -> Iterator[str]:
        """Names of the steps."""
        return iter(self.outputs)


class Pipeline:
    """A graph of steps.

    Args:
        steps: Functions (or `step(function, name=...)`). A positional parameter takes the output of the step, or the
            input of the run, that it is named after; a keyword-only parameter is a setting.
        inputs: The inputs that a run will give. When stated, a parameter that is neither a step nor one of them is
            refused here; when left out, every unknown name is taken to be an input.

    Raises:
        LoopError: every wiring mistake, at once.

    Example:
        >>> def clean(rows, *, low=0):
        ...     return [row for row in rows if row >= low]
        >>> def total(clean):
        ...     return sum(clean)
        >>> Pipeline(clean, total).inputs
        ('rows',)
    """

    def __init__(self, *steps: Callable[..., Any] | Step, inputs: Iterable[str] | None = None) -> None:
        self._declared_inputs = None if inputs is None else tuple(inputs)
        self._graph: Graph = build(steps, self._declared_inputs)

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps, in running order."""
        return tuple(self._graph.steps)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names that a run must be given."""
        return self._graph.inputs

    def step(self, name: str) -> Step:
        """A step by its name."""
        if name not in self._graph.steps:
            raise NotFoundError(f"the pipeline has no step `{name}`", hint=f"its steps are {', '.join(self.steps)}")
        return self._graph.steps[name]

    @property
    def digest(self) -> str:
        """SHA-256 of the definition: step names, wiring and code."""
        return _digest(self._graph, {name: name_code(each)[0] for name, each in self._graph.steps.items()})

    def replace(self, **functions: Callable[..., Any]) -> Pipeline:
        """The same pipeline with some steps done by other functions.

        Raises:
            LoopError: there is no such step, or the new function does not fit.
        """
        unknown = [name for name in functions if name not in self._graph.steps]
        if unknown:
            what = f"the pipeline has no step {', '.join(f'`{name}`' for name in unknown)}"
            raise LoopError(what, hint=f"its steps are {', '.join(self.steps)}")
        now = {name: step(function, name=name) for name, function in functions.items()}
        kept = {**self._graph.steps, **now}
        return Pipeline(*kept.values(), inputs=self._declared_inputs)

    def describe(self) -> dict[str, Any]:
        """The graph as plain JSON: inputs, and per step its needs, settings with their defaults, and code."""
        return {
            "inputs": list(self.inputs),
            "steps": [
                {
                    "name": each.name,
                    "needs": list(each.needs),
                    "settings": {name: _shown(value) for name, value in each.settings.items()},
                    "code": name_code(each)[0],
                }
                for each in self._graph.steps.values()
            ],
        }

    def run(
        self,
        store: Store,
        *,
        loop: str,
        trigger: ev.Trigger | None = None,
        clock: Clock | None = None,
        inputs: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        workers: int | None = None,
        progress: Callable[[str, int, int, str], None] | None = None,
        resume: str | None = None,
        environment: ev.RunContext | None = None,
    ) -> Run:
        """Run the steps that have to run and reuse the results of the others.

        Args:
            store: Where artifacts and records go.
            loop: The Loop that the run belongs to.
            trigger: Why; a manual one by the current user when left out, the resumed run's when resuming.
            clock: What the time is; the machine's when left out.
            inputs: Input name to value, handed to the steps as they are.
            settings: `step.setting` to value.
            workers: How many steps may run at once; as many as there are processors when left out.
            progress: Called with step, steps done, steps in all, and `started`, `ran`, `hit` or `failed`.
            resume: A run that did not succeed: its small inputs and stated settings are taken over where none are given
                here, and its finished steps are not run again.
            environment: What the run stands on; this process's when left out.

        Raises:
            LoopError: inputs or settings are missing or unknown; nothing was recorded.
            DataError: a step refused the data; the run is recorded as `stopped`.
            StepFailedError: a step raised; the run is recorded as `failed`. The hint says how to resume.
            RefusedError: the run to resume is still running.
        """
        clock = clock or SystemClock()
        before = _Resumed.read(store, clock, resume, loop) if resume else _Resumed()
        all_inputs = {**before.inputs(store, self.inputs), **(inputs or {})}
        stated = {**before.settings(self._graph), **(settings or {})}
        execution = self._execution(store, loop, clock, all_inputs, stated)
        execution.resumed, execution.workers, execution.progress = before.steps, workers, progress
        started = ev.RunStarted(
            loop=loop,
            run=execution.run,
            pipeline=_digest(self._graph, {name: code[0] for name, code in execution.codes.items()}),
            steps=self.steps,
            trigger=trigger or before.trigger or _manual(loop, execution.run),
            environment=_without_nulls(environment or current_environment()),
            settings=_recorded_settings(execution.settings),
            given=tuple(sorted(stated)),
            inputs=_recorded_inputs(execution.inputs, store.artifacts),
            executor=_EXECUTOR,
            resumes=before.run,
        )
        return _conduct(execution, started)

    def _execution(
        self, store: Store, loop: str, clock: Clock, inputs: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> Execution:
        """A run that is about to begin, with everything that it depends on checked and named."""
        resolved = self._graph.resolve(inputs, settings)
        run = new_id("run-")
        flights = inflight_of(store.path)
        return Execution(
            run=run,
            loop=loop,
            graph=self._graph,
            store=store,
            clock=clock,
            flights=flights,
            recorder=Recorder(store, run, clock, flights),
            codes={name: name_code(each) for name, each in self._graph.steps.items()},
            inputs={name: name_value(value, store.artifacts) for name, value in inputs.items()},
            settings={
                name: {setting: name_value(value, store.artifacts) for setting, value in values.items()}
                for name, values in resolved.items()
            },
        )


def _conduct(execution: Execution, started: ev.RunStarted) -> Run:
    """Run between its two records, holding the lock by which others see that it lives."""
    execution.flights.try_enter(alive_name(execution.run))
    try:
        execution.recorder.begin(started)
        status: ev.RunStatus = "interrupted"
        error: BaseException | None = None
        try:
            refuse_blanks(started.environment, f"the environment of run {execution.run}")
            execution.execute()
            status = execution.status()
            error = execution.failed.error if execution.failed else None
        except HomeostatError as raised:
            status, error = "failed", raised
        except BaseException as raised:
            error = raised
            raise
        finally:
            outputs = {name: value.name for name, value in execution.outputs.items()}
            execution.recorder.finish(
                ev.RunFinished(
                    loop=execution.loop,
                    run=execution.run,
                    trigger=started.trigger.key,
                    status=status,
                    outputs=outputs,
                    error=str(error) or type(error).__name__ if error is not None else None,
                )
            )
        if error is not None:
            raise error
        return Run(execution.run, status, outputs, execution.store.artifacts)
    finally:
        execution.flights.leave(alive_name(execution.run))


class _Resumed:
    """What a resumed run takes over from the one before."""

    def __init__(self, started: ev.RunStarted | None = None, steps: dict[str, ev.StepFinished] | None = None) -> None:
        self._started = started
        self.steps = steps or {}
        self.run = started.run if started else None
        self.trigger = started.trigger if started else None

    @classmethod
    def read(cls, store: Store, clock: Clock, run: str, loop: str) -> _Resumed:
        mark_interrupted(store, clock, loop=loop)
        row = store.ledger.run(run)
        if row.loop != loop:
            raise NotFoundError(f"run {row.run} belongs to loop {row.loop!r}, not {loop!r}", hint="resume it there")
        if row.status == "running":
            raise RefusedError(f"run {row.run} is still running", hint="wait for it, or end its process first")
        _, found = start_of(store.ledger, row)
        records = [each.event for each in store.ledger.steps(row.run)]
        return cls(found, {each.step: each for each in records if isinstance(each, ev.StepFinished)})

    def inputs(self, store: Store, wanted: tuple[str, ...]) -> dict[str, Any]:
        """The inputs that were small enough to be kept."""
        kept = self._started.inputs if self._started else {}
        found = {}
        for name in wanted:
            artifact = kept.get(name, {}).get("artifact")
            if artifact and store.artifacts.has(artifact):
                found[name] = codecs.decode(store.artifacts.get(artifact), store.artifacts)
        return found

    def settings(self, graph: Graph) -> dict[str, Any]:
        """The settings that were stated and are plain values."""
        if self._started is None:
            return {}
        known = {f"{name}.{setting}" for name, each in graph.steps.items() for setting in each.settings}
        return {
            name: value
            for name, value in self._started.settings.items()
            if name in self._started.given and name in known and not str(value).startswith(_SHA)
        }


def _without_nulls(environment: ev.RunContext) -> ev.RunContext:
    """The environment as it can be recorded; a field that is empty is reported once the run is on record."""
    return ev.RunContext(**{name: getattr(environment, name) or "" for name in environment.__struct_fields__})


def _manual(loop: str, run: str) -> ev.Trigger:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return ev.Trigger(key=f"{loop}/manual/{run}", kind="manual", reason="asked for by hand", user=user)


def _digest(graph: Graph, codes: Mapping[str, str | None]) -> str:
    lines = [f"{name} {' '.join(each.needs)} {codes[name]}" for name, each in graph.steps.items()]
    return fingerprint("\n".join(lines))


def _recorded_settings(settings: Mapping[str, Mapping[str, NamedValue]]) -> dict[str, Any]:
    return {
        f"{name}.{setting}": given.value if _is_plain(given.value) else f"{_SHA}{given.fingerprint}"
        for name, values in settings.items()
        for setting, given in values.items()
    }


def _recorded_inputs(inputs: Mapping[str, NamedValue], blobs: ArtifactStore) -> dict[str, dict[str, str]]:
    """Every input's fingerprint, and an artifact of those that are small, so that a resumed run has them."""
    recorded = {}
    for name, given in inputs.items():
        recorded[name] = {"fingerprint": given.fingerprint or f"none: {given.problem}"[:200]}
        if _size(given.value) <= _KEPT_BYTES:
            try:
                data = codecs.encode(given.value, blobs)
            except CodecError:
                continue
            if len(data) <= _KEPT_BYTES:
                recorded[name]["artifact"] = blobs.put_soon(data)
    return recorded


def _size(value: Any) -> int:
    """About how many bytes a value takes, as far as it says so cheaply."""
    if hasattr(value, "estimated_size"):
        return int(value.estimated_size())
    if isinstance(value, (str, bytes, list, tuple, dict)):
        return len(value)
    return int(getattr(value, "nbytes", 0))


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, (list, dict)):
        inner = value.values() if isinstance(value, dict) else value
        return len(value) <= 100 and all(map(_is_plain, inner)) and all(isinstance(key, (str, int)) for key in value)
    return value is None or type(value) in (bool, int, str)


def _shown(value: Any) -> Any:
    return value if _is_plain(value) else repr(value)[:80]
