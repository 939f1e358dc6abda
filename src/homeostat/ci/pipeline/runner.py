"""One execution of a pipeline: schedule, reuse, run, store, record."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from homeostat.ci.pipeline.explain import NOT_CACHED, why_it_ran
from homeostat.ci.pipeline.values import Value, check_declared, step_error
from homeostat.core import codecs, faults
from homeostat.core import events as ev
from homeostat.core.errors import DataError, HomeostatError
from homeostat.core.fingerprint import FingerprintError, code_fingerprint, fingerprint, fingerprint_parts, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from homeostat.ci.pipeline.flights import Flights
    from homeostat.ci.pipeline.graph import Graph, Step
    from homeostat.ci.pipeline.record import Recorder
    from homeostat.core.clock import Clock
    from homeostat.core.store import Store

Progress = "Callable[[str, int, int, str], None]"


@dataclass(frozen=True)
class Named:
    """A value that the run was given, with its name: fingerprint and parts, or the reason why it has none."""

    value: Any
    fingerprint: str | None
    parts: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Identity:
    """What a step's result depends on. Without a key, `parts` says under `not cached` why."""

    key: str | None
    parts: dict[str, str]


@dataclass(frozen=True)
class Done:
    """What became of a step."""

    step: Step
    identity: Identity
    outcome: ev.Outcome
    why: str
    started: datetime
    output: Value | None = None
    error: BaseException | None = None


def name_value(value: Any) -> Named:
    """Name an input or a setting; one that cannot be named says why."""
    try:
        total, parts = fingerprint_parts(value)
    except FingerprintError as error:
        return Named(value, None, {}, error.what)
    return Named(value, total, parts)


def name_code(step: Step) -> tuple[str | None, dict[str, str], str | None]:
    """The code of a step: its fingerprint, its parts, and the reason when it cannot be named."""
    try:
        total, parts = code_fingerprint(step.function)
    except FingerprintError as error:
        return None, {}, error.what
    return total, parts, None


@dataclass
class Execution:
    """The state of one run while it runs. The scheduler's thread owns it; workers only compute."""

    run: str
    loop: str
    graph: Graph
    store: Store
    clock: Clock
    flights: Flights
    recorder: Recorder
    codes: dict[str, tuple[str | None, dict[str, str], str | None]]
    inputs: dict[str, Named]
    settings: dict[str, dict[str, Named]]
    resumed: dict[str, ev.StepFinished]
    workers: int | None = None
    progress: Callable[[str, int, int, str], None] | None = None
    outputs: dict[str, Value] = field(default_factory=dict)
    failed: Done | None = None
    _previous: dict[str, ev.StepFinished] | None = None
    _stopping: bool = False

    def execute(self) -> None:
        """Run every step that has to run; afterwards `outputs` is complete or `failed` is set."""
        waiting = {name: {need for need in step.needs if need in self.graph.steps} for name, step in self.graph.steps.items()}
        ready = [name for name, needs in waiting.items() if not needs]
        flying: dict[Future[Done], str] = {}
        workers = self.workers or min(len(waiting), os.cpu_count() or 1)
        pool: ThreadPoolExecutor | None = None
        try:
            while ready or flying:
                while ready and not self._stopping and len(flying) < workers:
                    name = ready.pop(0)
                    step = self.graph.steps[name]
                    self._tell(name, "started")
                    done = self._reuse(step)
                    if isinstance(done, Done):
                        ready += self._take(done, waiting)
                        continue
                    pool = pool or ThreadPoolExecutor(workers, thread_name_prefix="homeostat-step")
                    flying[pool.submit(self._work, step, done.identity, done.entered)] = name
                if not flying:
                    break
                finished, _ = wait(flying, timeout=self.recorder.due(), return_when=FIRST_COMPLETED)
                for future in finished:
                    del flying[future]
                    ready += self._take(future.result(), waiting)
                if self.recorder.due() == 0:
                    self.recorder.flush()
        finally:
            self._stopping = True
            if pool is not None:
                pool.shutdown(wait=not flying, cancel_futures=True)

    def _take(self, done: Done, waiting: dict[str, set[str]]) -> list[str]:
        """Record what became of a step; return the steps that can start now."""
        name = done.step.name
        self._record(done)
        if done.error is not None or done.output is None:
            self.failed = self.failed or done
            self._stopping = True
            self._tell(name, "failed")
            return []
        self.outputs[name] = done.output
        del waiting[name]
        self._tell(name, done.outcome)
        for need in done.step.needs:
            if need in self.outputs and not any(need in self.graph.steps[other].needs for other in waiting):
                self.outputs[need].forget()
        for needs in waiting.values():
            if name in needs:
                needs.discard(name)
        return [other for other, needs in waiting.items() if not needs and name in self.graph.steps[other].needs]

    def _record(self, done: Done) -> None:
        self.recorder.step(
            ev.StepFinished(
                loop=self.loop,
                run=self.run,
                step=done.step.name,
                key=done.identity.key,
                parts=done.identity.parts,
                outcome=done.outcome,
                why=done.why,
                output=done.output.name if done.output else None,
                started=done.started,
                ended=self.clock.now(),
                error=str(done.error) if done.error is not None else None,
            )
        )

    def _tell(self, name: str, outcome: str) -> None:
        if self.progress is not None:
            self.progress(name, len(self.outputs), len(self.graph.steps), outcome)

    def identify(self, step: Step) -> Identity:
        """What the step's result depends on: code, settings, and its inputs' names."""
        code, parts, problem = self.codes[step.name]
        parts = dict(parts)
        problems = [problem] if problem else []
        named: dict[str, Any] = {"code": code, "settings": {}, "inputs": {}}
        for setting, given in self.settings[step.name].items():
            if given.fingerprint is None:
                problems.append(f"setting `{setting}`: {given.problem}")
                continue
            parts.update(given.parts)
            parts[f"setting:{setting}"] = printable(given.value) if not given.parts else given.fingerprint
            named["settings"][setting] = given.fingerprint
        for need in step.needs:
            output = self.outputs[need].name if need in self.outputs else self.inputs[need].fingerprint
            if output is None:
                problems.append(f"input `{need}`: {self.inputs[need].problem}")
                continue
            parts[f"input:{need}"] = named["inputs"][need] = output
        if problems:
            return Identity(None, {**parts, NOT_CACHED: "; ".join(problems)})
        return Identity(fingerprint(named), parts)

    def _reuse(self, step: Step) -> Done | _Run:
        """The earlier result of a step, or the order to run it."""
        started = self.clock.now()
        identity = self.identify(step)
        if identity.key is None:
            return self._from_resumed(step, identity, started) or _Run(identity, entered=False)
        if not self.flights.try_enter(identity.key):
            return _Run(identity, entered=False)
        hit = self._hit(step, identity, started)
        if hit is None:
            return _Run(identity, entered=True)
        self.flights.leave(identity.key)
        return hit

    def _from_resumed(self, step: Step, identity: Identity, started: datetime) -> Done | None:
        """A step without a key that succeeded in the run which this one resumes is not run again."""
        before = self.resumed.get(step.name)
        if before is None or before.output is None or before.parts != identity.parts:
            return None
        output = Value.stored(before.output, self.store.artifacts)
        if output is None:
            return None
        why = f"taken from run {before.run}, which this one resumes"
        return Done(step, identity, "hit", why, started, output)

    def _hit(self, step: Step, identity: Identity, started: datetime) -> Done | None:
        key = identity.key or ""
        landed = self.flights.landed(key)
        row = self.store.ledger.cache_get(key) if landed is None else None
        name = landed or (row.output if row else None)
        output = Value.stored(name, self.store.artifacts) if name else None
        if output is None:
            return None
        where = f"run {row.run}" if row else "another step just now"
        return Done(step, identity, "hit", f"reused: same code, settings and inputs as in {where}", started, output)

    def _work(self, step: Step, identity: Identity, entered: bool) -> Done:  # noqa: FBT001 - submitted by position
        """In a worker: wait for identical work in flight, or do the work and store its result."""
        started = self.clock.now()
        key = identity.key
        output: Value | None = None
        try:
            if key is not None and not entered:
                if not self.flights.enter(key, lambda: self._stopping):
                    raise _Cancelled
                entered = True
                hit = self._hit(step, identity, started)
                if hit is not None:
                    return hit
            why = why_it_ran(identity.parts, self._before(step.name))
            try:
                output = self._compute(step)
            except Exception as error:  # noqa: BLE001 - whatever the user's code raises is recorded
                return Done(step, identity, "failed", why, started, error=step_error(error, self.run, step))
            return Done(step, identity, "ran", why, started, output)
        except _Cancelled as error:
            return Done(step, identity, "failed", "cancelled: another step failed", started, error=error)
        finally:
            if key is not None and entered:
                self.flights.leave(key, output.name if output else None)

    def _compute(self, step: Step) -> Value:
        values = [self.outputs[need].hand() if need in self.outputs else self.inputs[need].value for need in step.needs]
        settings = {name: given.value for name, given in self.settings[step.name].items()}
        result = step.function(*values, **settings)
        check_declared(step, result)
        data = codecs.encode(result, self.store.artifacts)
        faults.point("step.before_artifact")
        return Value.made(self.store.artifacts.put(data), result, data, self.store.artifacts)

    def _before(self, name: str) -> ev.StepFinished | None:
        """The previous record of a step in this loop."""
        recorded = self.store.ledger.last_step(self.loop, name)
        return recorded.event if recorded is not None and isinstance(recorded.event, ev.StepFinished) else None

    def status(self) -> ev.RunStatus:
        """How the run ended."""
        if self.failed is None:
            return "succeeded"
        return "stopped" if isinstance(self.failed.error, DataError) else "failed"


@dataclass(frozen=True)
class _Run:
    """The order to run a step; `entered` says that its key is locked already."""

    identity: Identity
    entered: bool


class _Cancelled(HomeostatError):
    """The run stopped while a step waited for identical work elsewhere."""

    def __init__(self) -> None:
        super().__init__("the run stopped before this step could start")
