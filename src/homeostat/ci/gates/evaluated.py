"""Gates that look at an evaluation: each is a pure function of it.

Some checks are always on, whatever gates a Loop declares: see `standing`. A gate says what it saw, in numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.ci.gates.base import Gate
from homeostat.ci.gates.rehearsed import load
from homeostat.core.errors import LoopError
from homeostat.core.events import GateResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.ci.evaluate.report import Evaluation, Segment
    from homeostat.core.stats.metrics import Difference

FEWEST_TEST_ROWS = 100
FEWEST_OF_A_CLASS = 10
_TIE = 1e-12
_MOST_NAMED = 10


class BeatsChampion(Gate, tag="beats_champion", frozen=True, kw_only=True):
    """See `beats_champion`."""

    margin: float
    confidence: float

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes when the gain is above the margin beyond noise, or when there is no champion."""
        return _gain_above(self, evaluation, self.margin, f"not above {self.margin:g}")


class NotWorseThanChampion(Gate, tag="not_worse_than_champion", frozen=True, kw_only=True):
    """See `not_worse_than_champion`."""

    margin: float
    confidence: float

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes unless the candidate may be worse than the champion by the margin, or when there is no champion."""
        return _gain_above(self, evaluation, -self.margin, f"below {-self.margin:g}")


class AtLeast(Gate, tag="at_least", frozen=True, kw_only=True):
    """See `at_least`."""

    targets: dict[str, float]

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes when every metric on the test rows is as good as its target."""
        from homeostat.core.stats.metrics import greater_is_better

        missed, seen = [], {}
        for name, target in self.targets.items():
            value = evaluation.test.get(name)
            seen[name] = value
            good = value is not None and (value >= target if greater_is_better(name) else value <= target)
            if not good:
                missed.append(f"{name} is {_show(value)} and has to be {target:g}")
        words = "; ".join(missed) if missed else "; ".join(f"{name} is {_show(value)}" for name, value in seen.items())
        return _result(self.label, not missed, words, {"targets": self.targets, "test": seen})


class Slices(Gate, tag="slices", frozen=True, kw_only=True):
    """See `slices`."""

    columns: tuple[str, ...]
    drop: float
    min_rows: int
    confidence: float

    @property
    def slices(self) -> tuple[str, ...]:
        """The gate's columns."""
        return self.columns

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes unless a segment is worse than under the champion by more than `drop`, beyond noise."""
        looked = [
            segment
            for segment in evaluation.slices
            if segment.column in self.columns and segment.gain is not None and segment.gain.rows >= self.min_rows
        ]
        absent = [column for column in self.columns if all(found.column != column for found in evaluation.slices)]
        if absent:
            words = f"the evaluation has no segments by {', '.join(absent)}"
            return _result(self.label, False, words, {"columns": list(self.columns)})
        # Many segments are looked at; each has to be beyond its own noise by Bonferroni's share of the error.
        confidence = 1 - (1 - self.confidence) / max(1, len(looked))
        worse = [segment for segment in looked if self._worse(segment, confidence)]
        numbers = {
            "drop": self.drop,
            "segments": len(looked),
            "worse": {f"{found.column}={found.value}": _gain(found) for found in worse[:_MOST_NAMED]},
        }
        if worse:
            names = ", ".join(f"{found.column}={found.value} ({_gain(found):+.4f})" for found in worse[:_MOST_NAMED])
            return _result(self.label, False, f"worse than the champion by more than {self.drop:g} in {names}", numbers)
        if evaluation.champion_version is None and not looked:
            return _result(self.label, True, "there is no champion to be worse than", numbers)
        return _result(self.label, True, f"none of {len(looked)} segments is worse by more than {self.drop:g}", numbers)

    def _worse(self, segment: Segment, confidence: float) -> bool:
        gain = segment.gain
        upper = None if gain is None else gain.upper(confidence)
        return gain is not None and gain.gain is not None and upper is not None and gain.gain < -self.drop and upper < 0


class BeatsBaseline(Gate, tag="beats_baseline", frozen=True, kw_only=True):
    """See `beats_baseline`."""

    names: tuple[str, ...]
    margin: float
    confidence: float

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes when the candidate is better than each baseline by the margin, beyond noise."""
        found = {baseline.name: baseline for baseline in evaluation.baselines}
        wanted = [name for name in (self.names or tuple(found)) if name in found or self.names]
        failed, numbers = [], {}
        for name in wanted:
            gain = found[name].gain if name in found else None
            lower = None if gain is None else gain.lower(self.confidence)
            numbers[name] = None if gain is None else _gain_numbers(gain, self.confidence)
            if lower is None or lower <= self.margin:
                failed.append(f"{name} ({_show(gain.other if gain else None)})")
        if not wanted:
            return _result(self.label, False, "the evaluation has no baselines", numbers)
        value = _show(evaluation.test.get(evaluation.metric))
        words = f"{evaluation.metric} {value} is {'not ' if failed else ''}better beyond noise than "
        words += ", ".join(failed or wanted) + _way_past(evaluation, failed)
        return _result(self.label, not failed, words, numbers | {"margin": self.margin})


class Calibrated(Gate, tag="calibrated", frozen=True, kw_only=True):
    """See `calibrated`."""

    ece: float

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes when the expected calibration error is at most `ece`."""
        error = evaluation.calibration.error if evaluation.calibration else None
        if error is None:
            return _result(self.label, False, "the candidate's scores are no probabilities", {"ece": None})
        words = f"the expected calibration error is {error:.4f} and may be {self.ece:g}"
        return _result(self.label, error <= self.ece, words, {"ece": error, "limit": self.ece})


class NotLeaking(Gate, tag="not_leaking", frozen=True, kw_only=True):
    """See `not_leaking`."""

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes unless a feature alone gives the target away."""
        found = {leak.feature: leak.strength for leak in evaluation.leaks}
        if not found:
            return _result(self.label, True, "no feature gives the target away", {"leaks": found})
        names = ", ".join(f"{name} ({strength:.3f})" for name, strength in list(found.items())[:_MOST_NAMED])
        words = f"these features alone order the target almost perfectly: {names}"
        return _result(self.label, False, words, {"leaks": found})


class Behaves(Gate, tag="behaves", frozen=True, kw_only=True):
    """See `behaves`."""

    def check(self, evaluation: Evaluation) -> GateResult:
        """Passes when every declared behaviour held."""
        failed = [check for check in evaluation.behaviours if not check.passed]
        numbers = {check.name: {"rows": check.rows, "violations": check.violations} for check in evaluation.behaviours}
        if not evaluation.behaviours:
            return _result(self.label, False, "no behaviour was declared", numbers)
        words = "; ".join(f"{check.name}: {check.detail}" for check in failed) or f"all {len(numbers)} behaviours held"
        return _result(self.label, not failed, words, numbers)


def beats_champion(margin: float = 0.0, confidence: float = 0.95) -> BeatsChampion:
    """The candidate is better than the champion on the same new rows, by more than `margin`, beyond noise.

    It passes when the one-sided lower bound of the paired difference is above `margin`. Without a champion it passes.
    For models that are refit often, each a little fresher than the last, see `not_worse_than_champion`.

    Args:
        margin: In units of the Loop's metric; zero or more.
        confidence: Of the one-sided bound, in (0.5, 1).
    """
    _check_range("margin", margin, 0, float("inf"))
    _check_range("confidence", confidence, 0.5, 1)
    return BeatsChampion(margin=float(margin), confidence=confidence)


def not_worse_than_champion(margin: float = 0.01, confidence: float = 0.95) -> NotWorseThanChampion:
    """The candidate is, beyond noise, not worse than the champion by `margin` on the same new rows.

    For loops whose canary and judge decide on live traffic. Without a champion it passes.

    Args:
        margin: Loss that would be tolerated, in units of the Loop's metric; above zero.
        confidence: Of the one-sided bound, in (0.5, 1).
    """
    _check_range("margin", margin, 0, float("inf"))
    _check_range("confidence", confidence, 0.5, 1)
    return NotWorseThanChampion(margin=float(margin), confidence=confidence)


def at_least(**targets: float) -> AtLeast:
    """Each metric on the test rows is as good as its target: at least, or for errors and losses at most.

    Args:
        **targets: Metric name to target, for example `roc_auc=0.65` or `mae=40`.
    """
    from homeostat.core.stats.metrics import metric

    if not targets:
        raise LoopError("at_least() names no metric", hint="write at_least(roc_auc=0.65)")
    for name in targets:
        metric(name)
    return AtLeast(targets={name: float(target) for name, target in targets.items()})


def slices(*columns: str, drop: float = 0.05, min_rows: int = 200, confidence: float = 0.95) -> Slices:
    """No segment is worse than under the champion by more than `drop`, beyond noise.

    Args:
        *columns: Columns of the raw rows or of the features; one segment per value, or per quartile of a number.
        drop: Tolerated loss within a segment, in units of the Loop's metric; zero or more.
        min_rows: Segments with fewer rows are not judged.
        confidence: That no segment is refused by chance, over all segments together; in (0.5, 1).
    """
    if not columns:
        raise LoopError("slices() names no column", hint='write slices("carrier", drop=0.05)')
    _check_range("drop", drop, 0, float("inf"))
    _check_range("confidence", confidence, 0.5, 1)
    return Slices(columns=columns, drop=float(drop), min_rows=min_rows, confidence=confidence)


def beats_baseline(*names: str, margin: float = 0.0, confidence: float = 0.95) -> BeatsBaseline:
    """The candidate is better than each baseline by more than `margin`, beyond noise. A tie does not pass.

    Args:
        *names: Of `majority` or `mean`, `persistence`, `simple`; all of them by default.
        margin: In units of the Loop's metric; zero or more.
        confidence: Of the one-sided bound, in (0.5, 1).
    """
    known = {"majority", "mean", "persistence", "simple"}
    if set(names) - known:
        raise LoopError(
            f"there is no baseline {', '.join(sorted(set(names) - known))}", hint=f"there are {sorted(known)}"
        )
    _check_range("margin", margin, 0, float("inf"))
    _check_range("confidence", confidence, 0.5, 1)
    return BeatsBaseline(names=names, margin=float(margin), confidence=confidence)


def calibrated(ece: float = 0.05) -> Calibrated:
    """Scores are probabilities: the expected calibration error is at most `ece` (0..1)."""
    _check_range("ece", ece, 0, 1)
    return Calibrated(ece=float(ece))


def not_leaking() -> NotLeaking:
    """No feature alone gives the target away."""
    return NotLeaking()


def behaves() -> Behaves:
    """Every declared invariance and direction holds."""
    return Behaves()


def default() -> tuple[Gate, ...]:
    """What a Loop without gates of its own asks for.

    Better than the champion, better than each baseline, no feature that leaks the target, and about as fast as the
    champion. A Loop that is meant to
    be as simple as a baseline, such as a linear model, declares its own: `beats_baseline("majority", "persistence")`.
    """
    return beats_champion(), beats_baseline(), not_leaking(), load()


def judge(evaluation: Evaluation, gates: Sequence[Gate]) -> tuple[GateResult, ...]:
    """The standing checks and then each gate.

    Returns:
        Every verdict but of the gates that look at a rehearsal. The candidate passes when all of them do.
    """
    # A change of the columns that a person accepted may be overruled by a person; nothing else of these may.
    meant = evaluation.inputs != evaluation.champion_inputs and evaluation.inputs == evaluation.accepted_inputs
    binding = (
        msgspec.structs.replace(result, binding=result.passed or not (meant and result.gate == "same_schema"))
        for result in standing(evaluation)
    )
    return (*binding, *(gate.check(evaluation) for gate in gates if not getattr(gate, "before_traffic", False)))


def standing(evaluation: Evaluation) -> tuple[GateResult, ...]:
    """The checks that no Loop can switch off.

    `complete`: there are metrics on training and on test rows, all of the judged one finite. `enough_rows`: at least
    100 test rows, and 10 of each of two classes. `not_trivial`: beyond noise better than the constant answer, and not
    identical with persistence. `not_tied`: does not answer exactly as the champion. `same_schema`: takes the columns
    that the champion takes, or such as its callers may go on to send. Of columns that a person accepted with
    `homeostat accept-schema` nothing is promoted by itself, because callers have to change with it, but a person may.
    """
    checks = (_complete, _enough, _not_trivial, _not_tied, _same_schema)
    return tuple(check(evaluation) for check in checks)


def _not_tied(evaluation: Evaluation) -> GateResult:
    gain = evaluation.champion
    if gain is None or gain.rows == 0:
        return _result("not_tied", True, "there is no champion to be tied with", {})
    tied = gain.gain is not None and abs(gain.gain) < _TIE and not (gain.upper(0.95) or 0.0) > _TIE
    words = f"{_versus(gain, 'the champion')}{', exactly the same: there is nothing to gain' if tied else ''}"
    return _result("not_tied", not tied, words, {"gain": gain.gain, "rows": gain.rows})


def _complete(evaluation: Evaluation) -> GateResult:
    name = evaluation.metric
    numbers = {"train": evaluation.train.get(name), "test": evaluation.test.get(name)}
    lacking = [f"{name} on {part} rows is missing" for part, value in numbers.items() if value is None]
    lacking += [
        f"{name} on {part} rows is {value}"
        for part, value in numbers.items()
        if value is not None and not _finite(value)
    ]
    problems = [*evaluation.problems, *lacking]
    return _result(
        "complete", not problems, "; ".join(problems) or "metrics on training and test rows are there", numbers
    )


def _enough(evaluation: Evaluation) -> GateResult:
    rows, rarest = evaluation.test_rows, evaluation.rarest_class
    numbers: dict[str, Any] = {"test_rows": rows, "rarest_class": rarest}
    two = evaluation.classes is not None and len(evaluation.classes) == 2
    if rows < FEWEST_TEST_ROWS:
        words = f"{rows} test rows are fewer than {FEWEST_TEST_ROWS}; {_way_to_rows(evaluation)}"
        return _result("enough_rows", False, words, numbers)
    if two and (rarest or 0) < FEWEST_OF_A_CLASS:
        words = (
            f"{rarest or 0} test rows of the rarer class are fewer than {FEWEST_OF_A_CLASS}; "
            "test on more rows with a larger test=, or train on a longer how.Refit(window=...)"
        )
        return _result("enough_rows", False, words, numbers)
    return _result("enough_rows", True, f"{rows:,} test rows", numbers)


def _way_to_rows(evaluation: Evaluation) -> str:
    """Which setting gives enough test rows."""
    labelled = evaluation.train_rows + evaluation.test_rows
    if labelled < 2 * FEWEST_TEST_ROWS:
        lacking = 2 * FEWEST_TEST_ROWS - labelled
        return f"collect {lacking} more labelled rows, or take in older ones with a longer how.Refit(window=...)"
    share = math.ceil(20 * FEWEST_TEST_ROWS / labelled) / 20
    return f"test={share:g} leaves enough of the {labelled:,} labelled rows, and so does a longer how.Refit(window=...)"


def _not_trivial(evaluation: Evaluation) -> GateResult:
    found = {baseline.name: baseline.gain for baseline in evaluation.baselines}
    constant = found.get("majority") or found.get("mean")
    lower = None if constant is None else constant.lower()
    if constant is None or lower is None:
        return _result("not_trivial", False, "there is no constant answer to compare with", {})
    numbers = _gain_numbers(constant, 0.95)
    if lower <= 0:
        words = f"{_versus(constant, 'the constant answer')}, which is a tie within noise"
        return _result("not_trivial", False, words, numbers)
    last = found.get("persistence")
    if last is not None and last.gain is not None and last.error is not None and abs(last.gain) + last.error <= _TIE:
        return _result("not_trivial", False, "it repeats the last known label", _gain_numbers(last, 0.95))
    return _result("not_trivial", True, _versus(constant, "the constant answer"), numbers)


def _same_schema(evaluation: Evaluation) -> GateResult:
    before, now = evaluation.champion_inputs, evaluation.inputs
    if before is None:
        return _result("same_schema", True, "there is no champion to differ from", {})
    accepted = evaluation.accepted_inputs
    changed = sorted(name for name in {*before, *now} if not _goes_on(before.get(name), now.get(name)))
    numbers = {name: [before.get(name), now.get(name)] for name in changed[:_MOST_NAMED]}
    if not changed:
        return _result("same_schema", True, f"it takes the champion's {len(now)} columns", numbers)
    names = ", ".join(changed[:_MOST_NAMED])
    words = f"it takes other columns than the champion: {names}; if that is meant, declare the loop under a new name"
    if accepted == now:
        words = (
            f"it takes other columns than the champion, as was accepted: {names}; once callers send them, put it in "
            "charge with `homeostat promote`"
        )
    return _result("same_schema", False, words, numbers)


def _goes_on(before: str | None, now: str | None) -> bool:
    """Whether callers may go on to send what they sent: text stays text, and whole numbers are numbers too."""
    texts = {before, now} <= {"category", "text"}
    return before == now or texts or (before, now) == ("integer", "number") or (before == "unknown" and now is not None)


def _gain_above(
    gate: BeatsChampion | NotWorseThanChampion, evaluation: Evaluation, limit: float, otherwise: str
) -> GateResult:
    """Whether the lower bound of the gain over the champion is above a limit; without a champion it passes."""
    gain, early = _champion(gate.label, evaluation)
    if early is not None or gain is None:
        return early or _no_comparison(gate.label, evaluation)
    lower = gain.lower(gate.confidence)
    numbers = _gain_numbers(gain, gate.confidence) | {"margin": gate.margin}
    passed = lower is not None and lower > limit
    words = f"{_versus(gain, 'the champion')}; with {gate.confidence:.0%} confidence by more than {_show(lower)}"
    return _result(gate.label, passed, words + ("" if passed else f", which is {otherwise}"), numbers)


def _champion(label: str, evaluation: Evaluation) -> tuple[Difference | None, GateResult | None]:
    if evaluation.champion_inputs is None and evaluation.champion is None:
        return None, _result(label, True, "there is no champion yet", {})
    return evaluation.champion, None


def _way_past(evaluation: Evaluation, failed: Sequence[str]) -> str:
    """What to do where only the simple model is as good."""
    if [name.partition(" ")[0] for name in failed] != ["simple"]:
        return ""
    simple = "Ridge()" if evaluation.classes is None else "LogisticRegression()"
    return f"; to deploy a simple model, set model={simple} and gates.beats_baseline('majority', 'persistence')"


def _no_comparison(label: str, evaluation: Evaluation) -> GateResult:
    reasons = [warning for warning in evaluation.warnings if "champion" in warning]
    why = "; ".join(reasons) or "the champion was not scored on the test rows"
    way_out = "promote it by hand after review: homeostat promote N --reason ..."
    return _result(label, False, f"{why}; {way_out}", {})


def _result(gate: str, passed: bool, reason: str, numbers: dict[str, Any]) -> GateResult:
    return GateResult(gate=gate, passed=bool(passed), reason=reason, numbers=numbers)


def _gain_numbers(gain: Difference, confidence: float) -> dict[str, Any]:
    return {
        "metric": gain.metric,
        "rows": gain.rows,
        "candidate": gain.value,
        "other": gain.other,
        "gain": gain.gain,
        "lower": gain.lower(confidence),
        "upper": gain.upper(confidence),
        "confidence": confidence,
    }


def _versus(gain: Difference, whom: str) -> str:
    return f"{gain.metric} {_show(gain.value)} against {_show(gain.other)} of {whom} on {gain.rows:,} rows"


def _gain(segment: Segment) -> float:
    return float(segment.gain.gain or 0.0) if segment.gain else 0.0


def _show(value: float | None) -> str:
    return "undefined" if value is None else f"{round(value, 4) + 0.0:.4f}"  # no minus before a zero


def _finite(value: float | None) -> bool:
    return value is not None and abs(value) < float("inf")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value < high:
        raise LoopError(f"{name}={value} is out of range", hint=f"choose at least {low:g} and below {high:g}")
