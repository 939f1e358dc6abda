"""The judge's view of a trial: its matured rows, by pairs or by the arms that answered them, and what they prove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from homeostat.cd.deploy.judge import judge_losses
from homeostat.cd.deploy.paired import pairs
from homeostat.cd.deploy.plans import JudgeConfig
from homeostat.cd.deploy.randomised import ROUNDING, divided, drawn_rows, judge_drawn
from homeostat.cd.labels.maturity import Maturity, labelled_by, matured, microseconds
from homeostat.core.events import Judgement, Signal

if TYPE_CHECKING:
    from datetime import datetime

    from homeostat.cd.monitor.performance import Champion, Outcomes


class JudgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of a trial are judged.

    Attributes:
        config: Tolerances and error rates; a deployment plan is one.
        guardrails: Checks that can only stop.
        least_share: Of randomised arms, each judged by the rows that it answered itself: the smallest share (0..0.5)
            that either gets in the whole trial; it scales the interval. None: both are judged on the same rows.
        by_request: Of randomised arms: one row of each request counts, because units are whole requests.
    """

    config: JudgeConfig = JudgeConfig()
    maturity: Maturity | None = None
    guardrails: tuple[Signal, ...] = ()
    least_share: float | None = None
    by_request: bool = False


def judge_trial(
    champion: Champion, challenger: int, outcomes: Outcomes, now: datetime, settings: JudgeSettings | None = None
) -> Judgement:
    """The judgement of a trial at `now`.

    Args:
        champion: Task, classes, loss and version.
        challenger: Its version.
        outcomes: The trial's rows; of randomised arms with the arm that answered and its propensity.
        now: No label with a later `label_time` is looked at.
        settings: How the rows are judged.
    """
    rule = settings or JudgeSettings()
    if rule.least_share is not None:
        return _by_arms(champion, challenger, outcomes, now, rule, rule.least_share)
    found = pairs(champion, challenger, outcomes, now, rule.maturity)
    judgement = judge_losses(
        found.champion,
        found.challenger,
        rule.config,
        champion=champion.version,
        challenger=challenger,
        guardrails=rule.guardrails,
        least=found.least,
        greatest=found.greatest,
    )
    return msgspec.structs.replace(judgement, matured=len(found.champion))


def _by_arms(
    champion: Champion, challenger: int, outcomes: Outcomes, now: datetime, rule: JudgeSettings, least_share: float
) -> Judgement:
    mature = matured(outcomes.times, outcomes.label_times, now, rule.maturity)
    drawn = divided(champion.version, challenger, outcomes, by_request=rule.by_request)
    # A table of an earlier trial may answer for a moment after this one began.
    usual = np.abs(np.asarray(outcomes.propensities, dtype=float) - 0.5) <= 0.5 - least_share + ROUNDING
    rows = np.flatnonzero(mature & drawn & usual)
    rows = rows[np.argsort(microseconds(outcomes.times)[rows], kind="stable")]
    found = drawn_rows(champion, challenger, outcomes, rows, labelled_by(outcomes.label_times, now)[rows])
    versions = {"champion": champion.version, "challenger": challenger}
    judgement = judge_drawn(found, rule.config, guardrails=rule.guardrails, least_share=least_share, **versions)
    return msgspec.structs.replace(judgement, matured=int(mature.sum()))
