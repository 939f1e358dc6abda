"""Puts a model card together from the ledger, the bundle and the evaluation of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.ci.evaluate import Evaluation
from homeostat.ci.evaluate.report import CalibrationBin
from homeostat.core import codecs
from homeostat.core import events as ev
from homeostat.core.errors import HomeostatError, NotFoundError
from homeostat.core.ledger.states import STATES
from homeostat.core.model import Bundle
from homeostat.core.model.needs import shown_bytes
from homeostat.engine.views.card.online import online_performance
from homeostat.engine.views.why.answer import at, text
from homeostat.engine.views.why.versions import of_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeostat.core.events import Performance, VersionRegistered
    from homeostat.core.model import Manifest
    from homeostat.core.schema import Column
    from homeostat.core.store import Store

_MOST_ROWS = 60
_MOST_PARAMS = 40
_FEW_VALUES = 8


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a card: names with values, then a table, then sentences; each may be empty."""

    title: str
    facts: dict[str, str] = {}
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a version.

    Attributes:
        calibration: Bins of scores against what came true, for a picture.
    """

    loop: str
    version: int
    state: str
    summary: str
    sections: tuple[Section, ...]
    calibration: tuple[CalibrationBin, ...] = ()


def card_of(store: Store, loop: str, version: int) -> Card:
    """The card of a version.

    Raises:
        NotFoundError: There is no such version.
        IntegrityError: Its bundle is not whole.
    """
    row = store.ledger.version(loop, version)
    event = store.ledger.event(row.seq).event
    if not isinstance(event, ev.VersionRegistered):
        raise NotFoundError(f"version {version} has no registration in the ledger", hint="`homeostat verify` checks it")
    manifest = Bundle.read(store.artifacts, row.manifest).manifest
    evaluation = _evaluation(store, event.run)
    online = online_performance(store.ledger, loop).get(version)
    sections = (
        _model(manifest),
        _data(event, manifest),
        _metrics(event, evaluation, online),
        *_segments(evaluation),
        *_calibration(evaluation),
        _gates(event),
        _serving(event, manifest),
        Section(title="Limits", notes=tuple(_limits(manifest, evaluation, online))),
        _lineage(event, manifest, row.manifest),
        _history(store, loop, version),
    )
    return Card(
        loop=loop,
        version=version,
        state=row.state,
        summary=_summary(event, manifest, row.state),
        sections=sections,
        calibration=evaluation.calibration.bins if evaluation and evaluation.calibration else (),
    )


def _evaluation(store: Store, run: str) -> Evaluation | None:
    """The evaluation of the run; None when its artifact was cleared, or is in another registry."""
    steps = (one.event for one in store.ledger.steps(run))
    output = next((one.output for one in steps if isinstance(one, ev.StepFinished) and one.step == "evaluation"), None)
    if output is None or not store.artifacts.has(output):
        return None
    try:
        found = codecs.decode(store.artifacts.get(output), store.artifacts)
    except HomeostatError:
        return None
    return found if isinstance(found, Evaluation) else None


def _summary(event: VersionRegistered, manifest: Manifest, state: str) -> str:
    signature = manifest.signature
    what = f"Predicts `{signature.target}` ({signature.task}) from {len(signature.inputs)} columns"
    owner = f" Owner: {manifest.owner}." if manifest.owner else ""
    meaning = STATES.get(state, state)
    return f"{what}. Trained on {event.trained_rows:,} rows. State: {state} ({meaning}).{owner}"


def _model(manifest: Manifest) -> Section:
    estimator, blob = manifest.estimator, manifest.blob
    facts = {
        "estimator": estimator.kind,
        "stored as": f"{blob.runtime}, {shown_bytes(blob.size)}" + (f", because {blob.reason}" if blob.reason else ""),
        "classes": ", ".join(map(str, manifest.signature.classes or ())) or "none: it gives numbers",
        "seed": str(estimator.seed),
    }
    if blob.proof is not None:
        proof = blob.proof
        facts["conversion"] = f"compared on {proof.rows:,} rows, largest error {proof.max_error:.2g}"
    if estimator.prepared:
        facts["in front of it"] = "imputing, scaling and one-hot encoding"
    if len(manifest.candidates) > 1:
        facts["settings tried"] = str(len(manifest.candidates))
    params = [f"{name}={value}" for name, value in estimator.params.items()]
    more = f" and {len(params) - _MOST_PARAMS} more" if len(params) > _MOST_PARAMS else ""
    facts["parameters"] = ", ".join(params[:_MOST_PARAMS]) + more
    return Section(title="Model", facts=facts)


def _data(event: VersionRegistered, manifest: Manifest) -> Section:
    spec, snapshot = manifest.schema.spec, manifest.lineage.snapshot
    facts = {
        "training rows": f"{event.trained_rows:,}",
        "window": _window(event.window_start, event.window_end),
        "event time": spec.time,
        "key": ", ".join(spec.key) or "none",
        "target": str(spec.target),
        "label known at": spec.label_time or "the event time",
        "table": f"version {snapshot.get('version', 'unknown')}, digest {str(snapshot.get('digest', 'unknown'))[:16]}",
    }
    rows = tuple((one.name, one.kind, _values(one), text(one.nullable)) for one in manifest.signature.inputs)
    columns = ("input", "kind", "values in training", "nulls seen")
    return Section(title="Data", facts=facts, columns=columns, rows=rows[:_MOST_ROWS])


def _values(column: Column) -> str:
    if column.categories is not None:
        shown = ", ".join(map(str, column.categories[:_FEW_VALUES]))
        return shown + (f" and {len(column.categories) - _FEW_VALUES} more" * (len(column.categories) > _FEW_VALUES))
    if column.minimum is not None and column.maximum is not None:
        return f"{text(column.minimum)} to {text(column.maximum)}"
    return "any"


def _metrics(event: VersionRegistered, evaluation: Evaluation | None, online: Performance | None) -> Section:
    """Offline and online side by side; intervals at 95 %."""
    scored = evaluation.scored if evaluation is not None else {}
    rows = []
    for name in sorted(event.train_metrics.keys() | event.test_metrics.keys()):
        seen = online if online is not None and online.metric == name else None
        rows.append(
            (
                name,
                text(event.train_metrics.get(name)),
                text(event.test_metrics.get(name)),
                _interval(scored[name].low, scored[name].high) if name in scored else "unknown",
                text(seen.value) if seen else "-",
                f"{_interval(seen.low, seen.high)} on {seen.n:,} rows" if seen else "-",
            )
        )
    notes = []
    if evaluation is not None:
        dates = _window(evaluation.test_from, evaluation.test_until)
        notes.append(f"Tested on {evaluation.test_rows:,} rows of {dates}, all later than the training rows.")
        for one in evaluation.baselines:
            value = text(one.metrics.get(evaluation.metric))
            notes.append(f"Baseline {one.name}: {evaluation.metric} {value} on the same test rows.")
        gain = evaluation.champion
        if gain is not None and gain.gain is not None:
            against = f"version {evaluation.champion_version}"
            between = _interval(gain.lower(0.975), gain.upper(0.975))
            notes.append(f"Against {against} on {gain.rows:,} rows new to both: {text(gain.gain)} better, {between}.")
    columns = ("metric", "train", "test", "95 % interval", "online", "95 % interval online")
    return Section(title="Metrics", columns=columns, rows=tuple(rows), notes=tuple(notes))


def _segments(evaluation: Evaluation | None) -> Iterator[Section]:
    if evaluation is None or not evaluation.slices:
        return
    rows = tuple(
        (
            f"{one.column} = {one.value}",
            f"{one.rows:,}",
            text(one.scored.value),
            _interval(one.scored.low, one.scored.high),
            text(one.gain.gain) if one.gain is not None else "-",
        )
        for one in evaluation.slices[:_MOST_ROWS]
    )
    columns = ("segment", "test rows", evaluation.metric, "95 % interval", "better than the champion by")
    yield Section(title="Segments", columns=columns, rows=rows)


def _calibration(evaluation: Evaluation | None) -> Iterator[Section]:
    report = evaluation.calibration if evaluation is not None else None
    if report is None:
        return
    rows = tuple(
        (f"{one.low:.1f} to {one.high:.1f}", f"{one.rows:,}", text(one.predicted), text(one.observed))
        for one in report.bins
        if one.rows
    )
    columns = ("score", "test rows", "mean score", "came true")
    facts = {"expected calibration error": text(report.error)}
    yield Section(title="Calibration", facts=facts, columns=columns, rows=rows)


def _gates(event: VersionRegistered) -> Section:
    rows = tuple(
        (one.gate, "passed" if one.passed else "REFUSED" + (" for good" if one.binding else ""), one.reason)
        for one in event.gates
    )
    notes: tuple[str, ...] = ()
    if event.told:
        said = ", ".join(f"{one.gate} {'passed' if one.passed else 'REFUSED'}" for one in event.told)
        notes = (f"Imported. Its metrics, and these verdicts, are what another registry told: {said}.",)
    return Section(title="Gates", columns=("gate", "verdict", "what it saw"), rows=rows, notes=notes)


def _serving(event: VersionRegistered, manifest: Manifest) -> Section:
    facts: dict[str, str] = {}
    numbers = next((one.numbers for one in event.gates if one.gate == "load"), None)
    if numbers is not None and numbers.get("p50_ms") is not None:
        facts["under load"] = f"{numbers['qps']:,.0f} answers a second over {numbers['connections']} connections"
        facts["p50, p95, p99"] = ", ".join(f"{numbers[name]:,.1f} ms" for name in ("p50_ms", "p95_ms", "p99_ms"))
    needs = manifest.needs
    if needs is None:
        return Section(title="Serving", facts=facts, notes=("What it needs was not recorded.",))
    facts["memory of a server"] = shown_bytes(needs.memory) if needs.memory is not None else "not measured"
    facts |= {"accelerator": needs.accelerator or "none", "Python": needs.python, "made on": needs.platform}
    rows = tuple(needs.packages.items())
    return Section(title="Serving", facts=facts, columns=("package", "version"), rows=rows)


def _limits(manifest: Manifest, evaluation: Evaluation | None, online: Performance | None) -> Iterator[str]:
    lineage = manifest.lineage
    yield f"It knows nothing of before or after {_window(lineage.window_start, lineage.window_end)}."
    yield "Values outside of those listed under Data are extrapolated; the server and batch inference tell of them."
    if manifest.features is not None:
        yield f"It needs the features() with the fingerprint {manifest.features.fingerprint[:16]}, and refuses another."
    if evaluation is None:
        yield "Its evaluation is not in this store: segments and calibration are not known here."
    else:
        yield from (f"Suspected leak: {one.detail}." for one in evaluation.leaks)
        yield from (f"{one.rstrip('.')}." for one in evaluation.warnings)
        few = [one for one in evaluation.slices if one.rows < 100]
        if few:
            names = ", ".join(f"{one.column} = {one.value}" for one in few[:_FEW_VALUES])
            yield f"Fewer than 100 test rows speak for: {names}."
        if evaluation.calibration is None and evaluation.task == "classification":
            yield "Its scores are no probabilities."
    if online is None:
        yield "No matured labels were seen for its answers yet: how it does online is not known."


def _lineage(event: VersionRegistered, manifest: Manifest, bundle: str) -> Section:
    trigger, environment = event.trigger, manifest.lineage.environment
    facts = {
        "bundle": bundle,
        "model bytes": manifest.blob.sha256,
        "created": at(manifest.created),
        "run": event.run,
        "trigger": f"{trigger.key} ({trigger.kind}): {trigger.reason}",
        "asked by": trigger.user or "the loop",
        "compared with": f"version {event.parent}" if event.parent is not None else "none",
        "learned by": event.how,
    }
    if environment is not None:
        facts |= {
            "code": environment.commit,
            "environment": f"homeostat {environment.homeostat}, Python {environment.python}, {environment.platform}",
            "installed packages": environment.packages,
        }
    return Section(title="Lineage", facts=facts)


def _history(store: Store, loop: str, version: int) -> Section:
    story = of_version(store.ledger, loop, version).because
    return Section(title="History", notes=tuple(line for line in story if not line.startswith("gate ")))


def _interval(low: float | None, high: float | None) -> str:
    return "unknown" if low is None or high is None else f"{text(low)} to {text(high)}"


def _window(start: Any, end: Any) -> str:
    return " to ".join(f"{one:%Y-%m-%d %H:%M}" if one is not None else "unknown" for one in (start, end))
