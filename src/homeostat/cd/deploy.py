"""How a candidate becomes the champion: plans, the sticky division of traffic, and the next move of a trial."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from homeostat.core.errors import LoopError

if TYPE_CHECKING:
    from homeostat.core.events import Arm, Judgement

Step = Literal["stay", "next", "promote", "roll_back", "inconclusive"]


class Immediately(msgspec.Struct, frozen=True, tag_field="deploy", tag="immediately"):
    """A candidate that passed its gates becomes the champion at once, unjudged on live traffic."""


class Canary(msgspec.Struct, frozen=True, tag_field="deploy", tag="canary", kw_only=True):
    """Shadow first, then growing shares of traffic, judged on the same rows all the way.

    Attributes:
        shadow_rows: Matured pairs to see in the shadow before any unit is answered by the challenger; 0 skips it.
        steps: Shares of traffic (0..1, growing) that the challenger answers.
        step_rows: Matured pairs to see at each share.
        horizon: Matured pairs after which an undecided trial ends and the champion stays.
        margin: Mean per-row loss (0..1) by which a challenger may be worse and still count as not inferior.
        harm: Mean per-row loss by which a challenger must be worse to count as harmful.
        alpha_harm: Bound on the probability of rolling back a challenger that is not harmful.
        alpha_promote: Bound on the probability of promoting one that is worse by more than the margin.
        dependence: How many neighbouring rows say about as much as one independent row; 1 takes rows as independent
            (see `homeostat.cd.evidence.design_effect`). Both bounds hold for other days only as far as this is right.
    """

    shadow_rows: int = 2_000
    steps: tuple[float, ...] = (0.05, 0.5)
    step_rows: int = 500
    horizon: int = 20_000
    margin: float = 0.005
    harm: float = 0.0
    alpha_harm: float = 0.01
    alpha_promote: float = 0.05
    dependence: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a plan that does not hold together."""
        problems = [*_out_of_range(self), *_bad_steps(self.steps)]
        if problems:
            raise LoopError(f"deploy.Canary does not hold together: {'; '.join(problems)}", hint=_PLAN_HINT)
        if self.horizon < self.shadow_rows + self.step_rows * len(self.steps):
            what = f"a horizon of {self.horizon} rows ends before the last canary step begins"
            raise LoopError(what, hint="raise horizon, or lower shadow_rows and step_rows")


Plan = Immediately | Canary


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Where a challenger stands: stage 0 is the shadow, stage i the i-th canary step.

    Attributes:
        plan: The plan that the trial began with; a later declaration does not change it.
        started: Rows that were answered earlier do not count.
        pairs_before: Matured pairs that had been seen when the stage began.
        veto: Why the challenger may not become the champion, whatever the judge says.
    """

    challenger: int
    champion: int
    stage: int
    plan: Canary
    started: datetime | None = None
    pairs_before: int = 0
    veto: str | None = None


class Move(msgspec.Struct, frozen=True):
    """What a trial does next, and why."""

    step: Step
    reason: str


def advance(trial: Trial, judgement: Judgement) -> Move:
    """The next move of a trial. Pure.

    Guardrails and harm end a trial at any stage; a share grows once enough pairs were seen without harm; only the
    judge's evidence of non-inferiority makes a champion, and undecided at the horizon the champion stays.
    """
    plan = trial.plan
    broken = next((check for check in judgement.guardrails if check.alarmed), None)
    if broken is not None:
        return Move("roll_back", f"guardrail {broken.subject}: {broken.detail}")
    if judgement.verdict == "roll_back":
        return Move("roll_back", judgement.reason)
    here = seen(judgement) - trial.pairs_before
    needed = plan.shadow_rows if trial.stage == 0 else plan.step_rows
    enough, last, good = here >= needed, trial.stage == len(plan.steps), judgement.verdict == "promote"
    if enough and last and good:
        return Move("inconclusive", trial.veto) if trial.veto else Move("promote", judgement.reason)
    if judgement.pairs >= plan.horizon and not good:
        return Move("inconclusive", f"undecided after {judgement.pairs:,} pairs: the champion stays")
    if enough and not last:
        return Move("next", f"{here:,} pairs without harm")
    waiting = f"{here:,} of {needed:,} pairs" if not enough else judgement.reason
    return Move("stay", waiting)


def seen(judgement: Judgement) -> int:
    """Matured pairs, whether the judge still looks at them or not."""
    return max(judgement.matured, judgement.pairs)


def assign(arms: tuple[Arm, ...], salt: str, unit: str) -> Arm:
    """The arm that answers for a unit.

    The same unit gets the same arm while the salt stays, and a unit that was given to a canary stays with it when its
    share grows.

    Args:
        arms: The arms with their shares; those of the non-champions add up to less than 1.
        salt: Chosen anew for every trial.
        unit: What must be answered consistently: the row's key, or a user's id.
    """
    point = int.from_bytes(hashlib.sha256(f"{salt}/{unit}".encode()).digest()[:7], "big") / 2.0**56
    reached = 0.0
    for arm in arms:
        if arm.role == "canary":
            reached += arm.share
            if point < reached:
                return arm
    return next(arm for arm in arms if arm.role == "champion")


_PLAN_HINT = "as in deploy.Canary(shadow_rows=2_000, steps=(0.05, 0.5), step_rows=500)"


def _out_of_range(plan: Canary) -> list[str]:
    """Every number of a plan that is outside of what it may be."""
    rows = {"shadow_rows": 0, "step_rows": 1, "horizon": 1}
    found = [
        f"{name}={getattr(plan, name)!r} is not a number of rows from {least}"
        for name, least in rows.items()
        if not isinstance(getattr(plan, name), int) or getattr(plan, name) < least
    ]
    found += [
        f"{name}={getattr(plan, name)!r} is not a loss from 0 to 1"
        for name in ("margin", "harm")
        if not 0 <= getattr(plan, name) <= 1
    ]
    found += [
        f"{name}={getattr(plan, name)!r} is not a probability between 0 and 1"
        for name in ("alpha_harm", "alpha_promote")
        if not 0 < getattr(plan, name) < 1
    ]
    return found if plan.dependence >= 1 else [*found, f"dependence={plan.dependence!r} is less than 1"]


def _bad_steps(steps: tuple[float, ...]) -> list[str]:
    growing = all(low < high for low, high in zip((0.0, *steps), steps, strict=False))
    if growing and all(share < 1 for share in steps):
        return []
    return [f"canary steps {steps} do not grow from 0 towards 1"]
