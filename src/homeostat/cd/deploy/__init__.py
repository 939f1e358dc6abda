"""How a candidate becomes the champion: plans, the division of traffic, the judge and its evidence, and guardrails."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.deploy.bandits import shares as shares
    from homeostat.cd.deploy.interleave import credit as credit
    from homeostat.cd.deploy.interleave import team_draft as team_draft
    from homeostat.cd.deploy.interleave import verdict as verdict
    from homeostat.cd.deploy.judge import JudgeState as JudgeState
    from homeostat.cd.deploy.judge import conclude as conclude
    from homeostat.cd.deploy.judge import judge_losses as judge_losses
    from homeostat.cd.deploy.judge import update as update
    from homeostat.cd.deploy.plans import Bandit as Bandit
    from homeostat.cd.deploy.plans import Canary as Canary
    from homeostat.cd.deploy.plans import Immediately as Immediately
    from homeostat.cd.deploy.plans import JudgeConfig as JudgeConfig
    from homeostat.cd.deploy.plans import Plan as Plan
    from homeostat.cd.deploy.plans import Split as Split
    from homeostat.cd.deploy.plans import Target as Target
    from homeostat.cd.deploy.plans import Trial as Trial
    from homeostat.cd.deploy.plans import Tried as Tried
    from homeostat.cd.deploy.plans import advance as advance
    from homeostat.cd.deploy.plans import assign as assign
    from homeostat.cd.deploy.plans import begin as begin
    from homeostat.cd.deploy.plans import least_share as least_share
    from homeostat.cd.deploy.plans import role as role
    from homeostat.cd.deploy.plans import seen as seen
    from homeostat.cd.deploy.randomised import Drawn as Drawn
    from homeostat.cd.deploy.randomised import judge_drawn as judge_drawn
    from homeostat.cd.deploy.randomised import sample_ratio as sample_ratio
    from homeostat.cd.deploy.trial import JudgeSettings as JudgeSettings
    from homeostat.cd.deploy.trial import judge_trial as judge_trial
    from homeostat.cd.deploy.verdict_api import ask as ask

__getattr__ = loader(
    __name__,
    {
        "bandits": ("shares",),
        "interleave": ("credit", "team_draft", "verdict"),
        "judge": ("JudgeState", "conclude", "judge_losses", "update"),
        "plans": (
            "Bandit",
            "Canary",
            "Immediately",
            "JudgeConfig",
            "Plan",
            "Split",
            "Target",
            "Trial",
            "Tried",
            "advance",
            "assign",
            "begin",
            "least_share",
            "role",
            "seen",
        ),
        "randomised": ("Drawn", "judge_drawn", "sample_ratio"),
        "trial": ("JudgeSettings", "judge_trial"),
        "verdict_api": ("ask",),
    },
)
