"""How a candidate becomes the champion: plans, the sticky division of traffic, and the next move of a trial."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from homeostat.core.errors import DataError, LoopError
from homeostat.core.model.needs import Target as Target  # noqa: PLC0414 - declared beside the plan, as deploy.Target(...)

if TYPE_CHECKING:
    from homeostat.core.events import Arm, Judgement, Role

Step = Literal["stay", "next", "share", "promote", "roll_back", "inconclusive"]
_LEAST_MOVE = 0.01
"""Of a bandit's share: smaller moves are not worth a new division of traffic."""
_LEAST_FLOOR = 0.001
_CHANCES = ("alpha_harm", "alpha_promote", "confidence")
SAMPLE_RATIO = "sample ratio"
"""Subject of the signal that the arms did not get the units that they should have got."""


class Immediately(msgspec.Struct, frozen=True, tag_field="deploy", tag="immediately"):
    """A candidate that passed its gates becomes the champion at once, unjudged on live traffic."""


class JudgeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as harm, what as good enough, and how sure to be; every plan that puts a challenger on trial is one.

    Attributes:
        horizon: Matured rows after which an undecided trial ends and the champion stays; later ones are not looked at.
        margin: Mean extra loss per row (0..1) at which a challenger is not good enough; 0 asks for proof of a gain.
        harm: Mean extra loss per row that is tolerated; more than this is harm.
        alpha_harm: Largest chance (0..1) that a challenger which does no harm is ever rolled back.
        alpha_promote: Largest chance (0..1) that one which is worse by the margin is ever promoted.
        dependence: How many rows carry the information of one (see `evidence.design_effect`). At 1 the error bounds are
            about the rows that were seen; a design effect by days, known from before the trial, makes them bounds about
            other days too, and asks for that many times more rows.
        minimum_pairs: No promotion on fewer pairs, however clear they look.
        confidence: Coverage (0..1) of the reported interval, at all times at once.
    """

    horizon: int = 20_000
    margin: float = 0.005
    harm: float = 0.0
    alpha_harm: float = 0.01
    alpha_promote: float = 0.05
    dependence: float = 1.0
    minimum_pairs: int = 200
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Refuse numbers by which nothing can be judged."""
        odd = _out_of_range(self, {"horizon": 1})
        if odd:
            raise DataError(f"the judge cannot decide with {'; '.join(odd)}", hint="see JudgeConfig for the ranges")


class Canary(JudgeConfig, frozen=True, tag_field="deploy", tag="canary", kw_only=True):
    """Shadow first, then growing shares of traffic, judged on the same rows all the way.

    Attributes:
        shadow_rows: Matured pairs to see in the shadow before any unit is answered by the challenger; 0 skips it.
        steps: Shares of traffic (0..1, growing) that the challenger answers.
        step_rows: Matured pairs to see at each share.
        randomised: Judge each version only by the rows that it answered itself, weighted by one over their share: for
            predictions that change what happens. It needs many more rows.
    """

    shadow_rows: int = 2_000
    steps: tuple[float, ...] = (0.05, 0.5)
    step_rows: int = 500
    randomised: bool = False

    def __post_init__(self) -> None:
        """Refuse a plan that does not hold together."""
        rows = {"shadow_rows": 0, "step_rows": 1, "horizon": 1}
        problems = [*_out_of_range(self, rows), *_bad_steps(self.steps)]
        if self.randomised and not self.steps:
            problems.append("randomised=True compares rows that each version answered, and there are no steps")
        elif self.randomised and not problems and least_share(self) < _LEAST_FLOOR:
            problems.append(f"steps {self.steps} leave an arm less than {_LEAST_FLOOR}, which cannot be measured")
        _refuse(self, problems, "shadow_rows=2_000, steps=(0.05, 0.5), step_rows=500")
        if self.horizon < self.shadow_rows + self.step_rows * len(self.steps):
            what = f"a horizon of {self.horizon} rows ends before the last canary step begins"
            raise LoopError(what, hint="raise horizon, or lower shadow_rows and step_rows")


class Split(JudgeConfig, frozen=True, tag_field="deploy", tag="split", kw_only=True):
    """An A/B test: a random, sticky share of the units is answered by the challenger until the judge has decided.

    Each version is judged by the rows that it answered itself, so it holds where predictions change what happens.

    Attributes:
        share: Share of the units (0..1) that the challenger answers.
        rows: Matured rows of both arms to see before the challenger may win.
    """

    share: float = 0.5
    rows: int = 2_000
    horizon: int = 100_000

    def __post_init__(self) -> None:
        """Refuse a plan that does not hold together."""
        problems = _out_of_range(self, {"rows": 1, "horizon": 1}, {"share": (_LEAST_FLOOR, 1 - _LEAST_FLOOR)})
        _refuse(self, problems, "share=0.5, rows=2_000")


class Bandit(JudgeConfig, frozen=True, tag_field="deploy", tag="bandit", kw_only=True):
    """Shares that follow what comes of each arm's answers, so that the test itself costs less; judged as a `Split`.

    Attributes:
        method: `thompson` gives an arm the probability that it is the best, `epsilon` the best so far nearly all.
        floor: Smallest share (0..0.5) of either arm: what keeps every arm measurable.
        epsilon: Share (0..1) that epsilon-greedy divides evenly.
        share: Share of the challenger until `rows` have been seen.
        rows: Matured rows of both arms to see before shares move, and before the challenger may win.
    """

    method: Literal["thompson", "epsilon"] = "thompson"
    floor: float = 0.05
    epsilon: float = 0.1
    share: float = 0.5
    rows: int = 500
    horizon: int = 100_000

    def __post_init__(self) -> None:
        """Refuse a plan that does not hold together."""
        between = {"floor": (0.0, 0.5), "share": (0.0, 1.0), "epsilon": (0.0, 1.0)}
        problems = _out_of_range(self, {"rows": 1, "horizon": 1}, between)
        if self.floor < _LEAST_FLOOR:
            problems.append(f"floor={self.floor!r} is less than {_LEAST_FLOOR}: such an arm cannot be measured")
        if self.method not in ("thompson", "epsilon"):
            problems.append(f"method={self.method!r} is neither 'thompson' nor 'epsilon'")
        if not problems and min(self.share, 1 - self.share) < self.floor:
            problems.append(f"share={self.share!r} leaves an arm less than the floor of {self.floor!r}")
        _refuse(self, problems, "method='thompson', floor=0.05")


Tried = Canary | Split | Bandit
"""Plans that put a challenger on trial."""
Plan = Immediately | Canary | Split | Bandit


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Where a challenger stands: stage 0 is the shadow, stage i the i-th share of the plan.

    Attributes:
        plan: The plan that the trial began with; a later declaration does not change it.
        share: The challenger's share (0..1) of the units.
        started: Rows that were answered earlier do not count.
        pairs_before: Matured pairs that had been seen when the stage began.
        veto: Why the challenger may not become the champion, whatever the judge says.
    """

    challenger: int
    champion: int
    stage: int
    plan: Tried
    share: float = 0.0
    started: datetime | None = None
    pairs_before: int = 0
    veto: str | None = None


class Move(msgspec.Struct, frozen=True):
    """What a trial does next, and why; `share` is the challenger's new one, where it changes."""

    step: Step
    reason: str
    share: float = 0.0


def role(plan: Tried, share: float) -> Role:
    """What a challenger is called while it has this share of the units."""
    if isinstance(plan, Canary):
        return "canary" if share else "shadow"
    return "split" if isinstance(plan, Split) else "bandit"


def begin(plan: Tried) -> tuple[int, float]:
    """First stage of a trial and the challenger's share in it."""
    return (0, 0.0) if isinstance(plan, Canary) else (1, plan.share)


def randomised(plan: Tried) -> bool:
    """Whether versions are judged by their own rows only."""
    return not isinstance(plan, Canary) or plan.randomised


def least_share(plan: Tried) -> float:
    """The smallest share that either version ever gets while units are divided."""
    if isinstance(plan, Bandit):
        return plan.floor
    shares = plan.steps if isinstance(plan, Canary) else (plan.share,)
    return min(min(share, 1 - share) for share in shares)


def advance(trial: Trial, judgement: Judgement) -> Move:
    """The next move of a trial. Pure.

    Guardrails and harm end a trial at any stage; a share grows once enough pairs were seen without harm; only the
    judge's evidence of non-inferiority makes a champion, and undecided at the horizon the champion stays. Arms that do
    not get the units they should get end a trial without a verdict.
    """
    plan = trial.plan
    stopped = _stopped(judgement)
    if stopped is not None:
        return stopped
    here = seen(judgement) - trial.pairs_before
    shares = plan.steps if isinstance(plan, Canary) else (plan.share,)
    needed = _needed(plan, trial.stage)
    enough, last, good = here >= needed, trial.stage == len(shares), judgement.verdict == "promote"
    if enough and last and good:
        return Move("inconclusive", trial.veto) if trial.veto else Move("promote", judgement.reason)
    if judgement.pairs >= plan.horizon and not good:
        return Move("inconclusive", f"undecided after {judgement.pairs:,} pairs: the champion stays")
    if enough and not last:
        return Move("next", f"{here:,} pairs without harm", shares[trial.stage])
    if not enough:
        return Move("stay", f"{here:,} of {needed:,} {'rows' if randomised(plan) else 'pairs'}")
    if isinstance(plan, Bandit) and judgement.arms:
        return _follow(plan, trial, judgement)
    return Move("stay", judgement.reason)


def _stopped(judgement: Judgement) -> Move | None:
    """How a trial ends early, if it does."""
    broken = next((check for check in judgement.guardrails if check.alarmed), None)
    if broken is not None and broken.subject == SAMPLE_RATIO:
        return Move("inconclusive", f"the test is not valid: {broken.detail}")
    if broken is not None:
        return Move("roll_back", f"guardrail {broken.subject}: {broken.detail}")
    return Move("roll_back", judgement.reason) if judgement.verdict == "roll_back" else None


def _needed(plan: Tried, stage: int) -> int:
    """Matured rows to see in a stage."""
    if isinstance(plan, Canary):
        return plan.step_rows if stage else plan.shadow_rows
    return plan.rows


def _follow(plan: Bandit, trial: Trial, judgement: Judgement) -> Move:
    """A bandit's share, where it moves enough."""
    from homeostat.cd.deploy.bandits import shares

    wanted = shares(plan, judgement.arms)[trial.challenger]
    if abs(wanted - trial.share) < _LEAST_MOVE:
        return Move("stay", judgement.reason)
    seen_of = ", ".join(
        f"version {arm.version} lost {arm.loss:.4f} per row on {arm.rows:,}"
        for arm in judgement.arms
        if arm.loss is not None
    )
    return Move("share", f"{plan.method}: {seen_of}", wanted)


def seen(judgement: Judgement) -> int:
    """Matured pairs, whether the judge still looks at them or not."""
    return max(judgement.matured, judgement.pairs)


def assign(arms: tuple[Arm, ...], salt: str, unit: str) -> Arm:
    """The arm that answers for a unit.

    The same unit gets the same arm while the salt stays, and a unit that was given to a canary stays with it when its
    share grows.

    Args:
        arms: The arms with their shares; those of the others than the champion add up to less than 1.
        salt: Chosen anew for every trial.
        unit: What must be answered consistently: the row's key, or a user's id.
    """
    point = draw(salt, unit)
    reached = 0.0
    for arm in arms:
        if arm.role not in ("champion", "shadow"):
            reached += arm.share
            if point < reached:
                return arm
    return next(arm for arm in arms if arm.role == "champion")


def draw(salt: str, unit: str) -> float:
    """A number in [0, 1) that is as good as random, and always the same for a unit and a salt.

    Example:
        >>> draw("trial 1", "user 7") == draw("trial 1", "user 7") != draw("trial 2", "user 7")
        True
    """
    return int.from_bytes(hashlib.sha256(f"{salt}/{unit}".encode()).digest()[:7], "big") / 2.0**56


def _refuse(plan: Tried, problems: list[str], example: str) -> None:
    if problems:
        name = f"deploy.{type(plan).__name__}"
        raise LoopError(f"{name} does not hold together: {'; '.join(problems)}", hint=f"as in {name}({example})")


def _out_of_range(
    plan: JudgeConfig, rows: dict[str, int], between: dict[str, tuple[float, float]] | None = None
) -> list[str]:
    """Every number of a plan that is outside of what it may be."""
    found = [
        f"{name}={getattr(plan, name)!r} is not a number of rows from {least}"
        for name, least in ({"minimum_pairs": 0} | rows).items()
        if not isinstance(getattr(plan, name), int) or getattr(plan, name) < least
    ]
    found += [
        f"{name}={getattr(plan, name)!r} is not a loss from 0 to 1"
        for name in ("margin", "harm")
        if not 0 <= getattr(plan, name) < 1
    ]
    found += [
        f"{name}={getattr(plan, name)!r} is not a probability between {low:g} and {high:g}"
        for name, (low, high) in (dict.fromkeys(_CHANCES, (0, 1)) | (between or {})).items()
        if not low < getattr(plan, name) < high
    ]
    return found if plan.dependence >= 1 else [*found, f"dependence={plan.dependence!r} is less than 1"]


def _bad_steps(steps: tuple[float, ...]) -> list[str]:
    growing = all(low < high for low, high in zip((0.0, *steps), steps, strict=False))
    if growing and all(share < 1 for share in steps):
        return []
    return [f"canary steps {steps} do not grow from 0 towards 1"]
