"""One execution of a pipeline: schedule, reuse, run, store, record."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from homeostat.ci.pipeline.contract import check_declared
from homeostat.ci.pipeline.explain import NOT_CACHED, why_it_ran
from homeostat.ci.pipeline.values import Value, step_error
from homeostat.core import codecs, crash_points
from homeostat.core import events as ev
from homeostat.core.errors import CodecError, DataError, HomeostatError
from homeostat.core.fingerprint import FingerprintError, code_fingerprint, fingerprint_parts, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from homeostat.ci.pipeline.graph import Graph, Step
    from homeostat.ci.pipeline.inflight import InFlight
    from homeostat.ci.pipeline.record import Recorder
    from homeostat.core.artifacts import ArtifactStore
    from homeostat.core.clock import Clock
    from homeostat.core.store import Store


_GLANCE_SECONDS = 0.2


@dataclass(frozen=True)
class NamedValue:
    """A value that the run was given, with its name: fingerprint and parts, or the reason why it has none.

    `shown` is the value as people read it where it is short, and its fingerprint elsewhere.
    """

    value: Any
    fingerprint: str
    shown: str
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


def name_value(value: Any, blobs: ArtifactStore) -> NamedValue:
    """Name an input or a setting, by what it holds or by its stored form; one that has neither says why."""
    try:
        total, parts = fingerprint_parts(value)
    except FingerprintError as error:
        try:
            stored = hashlib.sha256(codecs.encode(value, blobs)).hexdigest()
        except CodecError:
            return NamedValue(value, "", "unnamed", problem=error.what)
        return NamedValue(value, stored, stored)
    return NamedValue(value, total, printable(value) or total, parts)


def name_code(step: Step) -> tuple[str | None, dict[str, str], str | None]:
    """The code of a step: its fingerprint, its parts, and the reason when it cannot be named."""
    try:
        total, parts = code_fingerprint(step.function)
    except FingerprintError as error:
        return None, dict(error.parts), error.what
    return total, parts, None


@dataclass
class Execution:
    """The state of one run while it runs. The scheduler's thread owns it; workers only compute."""

    run: str
    loop: str
    graph: Graph
    store: Store
    clock: Clock
    flights: InFlight
    recorder: Recorder
    codes: dict[str, tuple[str | None, dict[str, str], str | None]]
    inputs: dict[str, NamedValue]
    settings: dict[str, dict[str, NamedValue]]
    resumed: dict[str, ev.StepFinished] = field(default_factory=dict)
    workers: int | None = None
    progress: Callable[[str, int, int, str], None] | None = None
    outputs: dict[str, Value] = field(default_factory=dict)
    failed: Done | None = None
    _previous: dict[str, ev.StepFinished] | None = None
    _stopping: bool = False
    _missing: dict[str, int] = field(default_factory=dict)
    _takers: dict[str, list[str]] = field(default_factory=dict)
    _wanted: dict[str, int] = field(default_factory=dict)

    def execute(self) -> None:
        """Run every step that has to run; afterwards `outputs` is complete or `failed` is set."""
        graph = self.graph
        self._missing = {name: sum(need in graph.steps for need in step.needs) for name, step in graph.steps.items()}
        self._takers = graph.takers()
        self._wanted = {name: len(takers) for name, takers in self._takers.items()}
        ready = [name for name, missing in self._missing.items() if not missing]
        flying: set[Future[Done]] = set()
        orders: dict[Future[Done], _Order] = {}
        workers = self.workers or os.cpu_count() or 1
        pool: ThreadPoolExecutor | None = None
        try:
            while ready or flying:
                while ready and not self._stopping and len(flying) < workers:
                    step = graph.steps[ready.pop(0)]
                    self._tell(step.name, "started")
                    done = self._reuse(step)
                    if isinstance(done, _Order):
                        if ready or flying:
                            pool = pool or ThreadPoolExecutor(workers, thread_name_prefix="homeostat-step")
                            future = pool.submit(self._work, step, done)
                            orders[future] = done
                            flying.add(future)
                            continue
                        done = self._work(step, done)  # alone: another thread would only cost time
                    ready += self._take(done)
                if not flying:
                    break
                # Not for ever: Polars restarts system calls upon Ctrl-C, so only a wait that ends lets Python see it.
                finished, flying = wait(flying, timeout=_GLANCE_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    ready += self._take(future.result())
                    del orders[future]
        finally:
            self._stopping = True
            if pool is not None:
                pool.shutdown(wait=not flying, cancel_futures=True)
            for future, order in orders.items():
                future.add_done_callback(partial(self._give_up, order))

    def _give_up(self, order: _Order, future: Future[Done]) -> None:
        """Let go of a step whose result nobody takes any more, so that another run can do it."""
        key = order.identity.key
        if key is None:
            return
        if future.cancelled() and order.entered:
            self.flights.leave(key)
        self.flights.committed([key])

    def _take(self, done: Done) -> list[str]:
        """Record what became of a step; return the steps that can start now."""
        name = done.step.name
        self._record(done)
        if done.output is None:
            self.failed = self.failed or done
            self._stopping = True
            self._tell(name, "failed")
            return []
        self.outputs[name] = done.output
        self._tell(name, done.outcome)
        for need in done.step.needs:
            if need in self._wanted:
                self._wanted[need] -= 1
                if not self._wanted[need]:
                    self.outputs[need].forget()
        takers = self._takers[name]
        for taker in takers:
            self._missing[taker] -= 1
        return [taker for taker in takers if not self._missing[taker]]

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
        key = hashlib.sha256(f"homeostat step 1\ncode {code}\n".encode())
        for setting, given in sorted(self.settings[step.name].items()):
            if given.problem is not None:
                problems.append(f"setting `{setting}`: {given.problem}")
            parts.update(given.parts)
            parts[f"setting:{setting}"] = given.shown
            key.update(f"setting {setting} {given.fingerprint}\n".encode())
        for need in sorted(step.needs):
            name = self.outputs[need].name if need in self.outputs else self.inputs[need].shown
            if need in self.inputs and self.inputs[need].problem is not None:
                problems.append(f"input `{need}`: {self.inputs[need].problem}")
            parts[f"input:{need}"] = name
            key.update(f"input {need} {name}\n".encode())
        if problems:
            return Identity(None, {**parts, NOT_CACHED: "; ".join(problems)})
        return Identity(key.hexdigest(), parts)

    def _reuse(self, step: Step) -> Done | _Order:
        """The earlier result of a step, or the order to run it."""
        started = self.clock.now()
        identity = self.identify(step)
        if identity.key is None:
            return self._from_resumed(step, identity, started) or _Order(identity, entered=False)
        before = self._before(step.name)
        if before is not None and before.key == identity.key and before.output is not None:
            output = Value.stored(before.output, self.store.artifacts)
            if output is not None:
                return Done(step, identity, "hit", _reused(f"run {before.run}"), started, output)
        if not self.flights.try_enter(identity.key):
            return _Order(identity, entered=False)
        try:
            hit = self._hit(step, identity, started)
        except BaseException:
            self.flights.leave(identity.key)
            raise
        if hit is None:
            return _Order(identity, entered=True)
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
        why = _reused(f"run {row.run}" if row else "a step just now")
        return Done(step, identity, "hit", why, started, output)

    def _work(self, step: Step, order: _Order) -> Done:
        """Wait for identical work in flight, or do the work and store its result."""
        started = self.clock.now()
        identity, entered = order.identity, order.entered
        key = identity.key
        output: Value | None = None
        try:
            if key is not None and not entered:
                entered = self.flights.enter(key, lambda: self._stopping)
                if not entered:
                    error = HomeostatError("the run stopped while the step waited for identical work elsewhere")
                    return Done(step, identity, "failed", "did not run: another step failed", started, error=error)
                hit = self._hit(step, identity, started)
                if hit is not None:
                    return hit
            why = why_it_ran(identity.parts, self._before(step.name))
            try:
                output = self._compute(step)
            except Exception as error:  # noqa: BLE001 - whatever the user's code raises is recorded
                return Done(step, identity, "failed", why, started, error=step_error(error, self.run, step))
            return Done(step, identity, "ran", why, started, output)
        finally:
            if key is not None and entered:
                self.flights.leave(key, output.name if output else None)

    def _compute(self, step: Step) -> Value:
        values = [self.outputs[need].hand() if need in self.outputs else self.inputs[need].value for need in step.needs]
        settings = {name: given.value for name, given in self.settings[step.name].items()}
        result = step.function(*values, **settings)
        check_declared(step, result)
        data = codecs.encode(result, self.store.artifacts)
        crash_points.point("step.before_artifact")
        return Value.made(self.store.artifacts.put_soon(data), result, data, self.store.artifacts)

    def _before(self, name: str) -> ev.StepFinished | None:
        """The previous record of a step in this loop."""
        if self._previous is None:
            self._previous = self.store.ledger.last_steps(self.loop)
        return self._previous.get(name)

    def status(self) -> ev.RunStatus:
        """How the run ended."""
        if self.failed is None:
            return "succeeded"
        return "stopped" if isinstance(self.failed.error, DataError) else "failed"


def _reused(where: str) -> str:
    return f"reused: same code, settings and inputs as in {where}"


@dataclass(frozen=True)
class _Order:
    """The order to run a step; `entered` says that its key is locked already."""

    identity: Identity
    entered: bool
