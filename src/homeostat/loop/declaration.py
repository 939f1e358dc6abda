"""Loop: everything about one model in one declaration, checked whole when it is built."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from homeostat.cd.deploy import Canary, Plan, Target
from homeostat.ci import gates as standard_gates
from homeostat.core.clock import duration
from homeostat.core.errors import LoopError
from homeostat.core.loop_names import loop_name_problem
from homeostat.core.model.own_code import TrustedTypes
from homeostat.core.table.form import Form
from homeostat.ct.how import Learner, Refit
from homeostat.ct.when import Policy, never
from homeostat.ct.where import Process, TrainingPlace
from homeostat.loop.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from homeostat.cd.monitor import MonitorConfig
    from homeostat.ci.evaluate import Behaviour
    from homeostat.ci.gates import Gate
    from homeostat.core.model import Signature
    from homeostat.core.ports import Source

_KINDS: tuple[tuple[str, Any], ...] = (
    ("deploy", Plan),
    ("when", Policy),
    ("how", Learner),
    ("where", TrainingPlace),
    ("target", Target | None),
    ("owner", str | None),
)
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


class Loop:
    """One model and the loop around it.

    Args:
        name: Lower-case letters, digits and hyphens; at most 63. It names the model's address too.
        source: Where rows come from, and what their columns mean.
        features: A plain function from raw rows (without target and label time) to features, row by row. It runs in
            training and in serving; None uses the raw columns.
        model: Any scikit-learn estimator; None picks a sensible one for the schema.
        candidates: Parameters of the model to try besides its own, as in `[{"max_depth": 3}]`; the best on the newest
            fifth of the training rows are taken, and all that were tried are kept with the version.
        loss: What a wrong row costs, which the judge and replays go by: `brier`, `absolute`, or one's own
            (`homeostat.core.stats.losses`); None takes the usual one of the task.
        metric: What counts, for example `roc_auc`, `log_loss`, `mae`; None picks one for the task.
        gates: What a candidate has to pass. The checks of the promises (NaN, tied, too few rows, changed schema) always
            run as well.
        deploy: How a candidate becomes the champion.
        when: When to retrain.
        how: How to refit.
        where: Where training runs.
        test: Length of the newest stretch of labelled rows that candidates are tested on, as in `"14d"`, or a share of
            them, as in `0.2`.
        target: Where models are to run (`deploy.Target`); None is this machine. A model that needs what is not there
            is refused.
        owner: Who answers for the model: a name, a team or an address. It stands on every version's card.
        seed: Makes runs repeatable.
        behaviours: Invariances and directions that a candidate has to show (`homeostat.ci.evaluate.invariant`).
        monitor: Thresholds of the monitor; None takes the defaults.
        observe: How often the monitor looks, as in `"1h"`; every look is followed by a decision.
        retention: How long the prediction log waits for the labels of its rows before it deletes them. The tables
            `predictions` and `labels` keep them.
        trusted: Classes that a model of this loop may hold besides those of `model`: ones that its `fit` makes. Only
            scikit-learn's and its like are built without being named; name yours, or write `"package.module.Class"`.
        steps: Functions in place of steps of the standard pipeline (`homeostat.loop.steps`), by name.

    Raises:
        LoopError: lists everything that does not hold together.

    Example:
        >>> from homeostat import FileSource, Loop
        >>> Loop(name="rides", source=FileSource("bikes.csv", time="time", target="rides")).name
        'rides'
    """

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        features: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
        model: Any = None,
        candidates: Sequence[Mapping[str, Any]] = (),
        loss: str | None = None,
        metric: str | None = None,
        gates: Sequence[Gate] | None = None,
        deploy: Plan | None = None,
        when: Policy | None = None,
        how: Learner | None = None,
        where: TrainingPlace | None = None,
        test: str | float = 0.2,
        target: Target | None = None,
        owner: str | None = None,
        seed: int = 0,
        behaviours: Sequence[Behaviour] = (),
        monitor: MonitorConfig | None = None,
        observe: str = "1h",
        retention: str = "30d",
        trusted: Sequence[type | str] = (),
        steps: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self.features = features
        self.model = model
        self.candidates = tuple(dict(one) for one in candidates)
        self.loss = loss
        self.metric = metric
        self.gates = tuple(standard_gates.default() if gates is None else gates)
        self.deploy = Canary() if deploy is None else deploy
        self.when = never() if when is None else when
        self.how = Refit() if how is None else how
        self.where = Process() if where is None else where
        self.test = test
        self.target = target
        self.owner = owner
        self.seed = seed
        self.behaviours = tuple(behaviours)
        self.monitor = monitor
        self.observe = observe
        self.retention = retention
        self.trusted = tuple(trusted) if isinstance(trusted, (tuple, list, set, frozenset)) else (trusted,)
        self.steps = dict(steps or {})
        self.file: Path | None = None
        problems = self._problems()
        if problems:
            raise LoopError(f"loop {name!r} does not hold together: {'; '.join(problems)}", hint=_HINT)

    def _problems(self) -> list[str]:
        """Everything that is wrong with the declaration."""
        found = []
        if loop_name_problem(self.name) is not None:
            found.append("name has other characters than a-z, 0-9 and '-', is too long, or is a device on Windows")
        if not hasattr(self.source, "spec"):
            found.append(f"source is a {type(self.source).__name__}, not a FileSource or FrameSource")
        elif not callable(getattr(self.source, "parts", None)):
            found.append(f"source {type(self.source).__name__} has no parts()")
        elif self.source.spec.target is None:
            found.append("source names no target, so there is nothing to predict")
        found.extend(_callable_problems(self.features))
        if self.model is not None:
            if isinstance(self.model, type):
                found.append(f"model is the class {self.model.__name__}; write {self.model.__name__}()")
            elif not callable(getattr(self.model, "fit", None)):  # some have predict only once they are fitted
                found.append(f"model {type(self.model).__name__} has no fit")
        for part, kind in _KINDS:
            value = getattr(self, part)
            if not isinstance(value, kind):
                found.append(f"{part} is a {type(value).__name__}")
        if self.candidates and getattr(self.how, "continues", False):
            found.append("candidates need how.Refit(): a model that goes on from its parent keeps its parameters")
        found.extend(_trusted_problems(self.trusted))
        odd = [type(gate).__name__ for gate in self.gates if not callable(getattr(gate, "check", None))]
        if odd:
            found.append(f"gates has {', '.join(odd)}, which have no check()")
        for part in ("observe", "retention"):
            found.extend(_length_problems(part, getattr(self, part)))
        found.extend(_test_problems(self.test))
        found.extend(_metric_problems(self.metric, self.when))
        found.extend(_loss_problems(self.loss, self.metric))
        unknown = sorted(set(self.steps) - {step.__name__ for step in STEPS})
        if unknown:
            found.append(f"there is no step {', '.join(unknown)} to replace")
        return found

    def metric_for(self, signature: Signature) -> str:
        """The metric that counts: the declared one, or the usual one of the task."""
        from homeostat.core.stats.metrics import default_metric

        return self.metric or default_metric(signature.task, len(signature.classes or ()))

    @property
    def trusted_types(self) -> TrustedTypes:
        """The exact classes, as `module.Class`, that a model of this loop may be built of besides the well-known ones.

        Those of the declared model and of its candidates, and those that `trusted` names.
        """
        from homeostat.core.model import trusted_types

        named = [one if isinstance(one, str) else f"{one.__module__}.{one.__qualname__}" for one in self.trusted]
        return TrustedTypes({*named, *trusted_types([self.model, *(list(one.values()) for one in self.candidates)])})

    @property
    def form(self) -> Form:
        """How files that batch inference and streams are given are written: as the source's own, where it has files."""
        return getattr(self.source, "form", Form())

    @property
    def digest(self) -> str:
        """SHA-256 of everything that is declared, functions by their code: changes whenever a decision could.

        The rows of a source are no part of it, and neither is the file that the declaration stands in.
        """
        from homeostat.core.fingerprint import fingerprint

        parts = {name: value for name, value in vars(self).items() if name not in ("file", "source")}
        given = {name: value for name, value in vars(self.source).items() if not name.startswith("_")}
        plain = {name: value for name, value in given.items() if isinstance(value, str | tuple)}
        parts["source"] = (type(self.source).__name__, self.source.spec, plain)
        return fingerprint({name: _named(value) for name, value in parts.items()})

    def __repr__(self) -> str:
        return f"Loop(name={self.name!r})"


_HINT = "see `homeostat init` for a declaration that works"


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def _named(value: Any) -> str:
    """The fingerprint of a declared part; how it prints where it has none."""
    from homeostat.core.fingerprint import FingerprintError, fingerprint

    try:
        return fingerprint(value)
    except FingerprintError:
        return _ADDRESS.sub("", repr(value))


def _callable_problems(features: Any) -> list[str]:
    if features is None:
        return []
    if not inspect.isfunction(features):
        why = "write `def features(rows): ...`, whose code is recorded with every model"
        return [f"features is a {type(features).__name__}, not a plain function ({why})"]
    needed = [one for one in inspect.signature(features).parameters.values() if one.default is one.empty]
    return [] if len(needed) == 1 else [f"features takes {len(needed)} arguments, not the one DataFrame"]


def _trusted_problems(trusted: tuple[Any, ...]) -> list[str]:
    odd = [one for one in trusted if not isinstance(one, type) and not (isinstance(one, str) and _CLASS.fullmatch(one))]
    if not odd:
        return []
    return [f"trusted has {odd[0]!r:.60}, which is neither a class nor a name such as 'package.module.Class'"]


def _length_problems(part: str, value: Any) -> list[str]:
    try:
        duration(value)
    except LoopError as error:
        return [f"{part}: {error.what}"]
    return []


def _test_problems(test: Any) -> list[str]:
    if isinstance(test, str):
        return _length_problems("test", test)
    if isinstance(test, bool) or not isinstance(test, int | float) or not 0 < test < 1:
        return [f"test={test!r} is neither a share between 0 and 1 nor a length of time such as '14d'"]
    return []


def _loss_problems(loss: Any, metric: Any) -> list[str]:
    if loss is None:
        return []
    from homeostat.core.stats.losses import LOSSES, loss_for
    from homeostat.core.stats.metrics import METRICS

    known = METRICS.get(metric) if isinstance(metric, str) else None
    try:
        loss_for(LOSSES[str(loss)].task if known is None else known.task, str(loss))
    except LoopError as error:
        return [f"{error.what}: {error.hint}"]
    return []


def _metric_problems(metric: Any, when: Any) -> list[str]:
    """What is wrong with the metric, and with the metrics that the policies wait for: only the Loop's is measured."""
    watched = when.metrics if isinstance(when, Policy) else ()
    if metric is None and not watched:
        return []
    from homeostat.core.stats.metrics import METRICS, default_metric
    from homeostat.core.table.spec import did_you_mean

    named = dict.fromkeys([*([] if metric is None else [metric]), *watched])
    unknown = [name for name in named if not isinstance(name, str) or name not in METRICS]
    found = [f"there is no metric {name!r}: {did_you_mean(str(name), METRICS)}" for name in unknown]
    if found:
        return found
    usual = {default_metric("classification", 2), default_metric("classification", 3), default_metric("regression")}
    measured = usual if metric is None else {metric}
    for name in dict.fromkeys(watched):
        if name not in measured:
            told = f"when waits for {name}, but the loop measures {metric or 'the usual metric of its task'}"
            found.append(f"{told}: declare metric={name!r}")
    return found
