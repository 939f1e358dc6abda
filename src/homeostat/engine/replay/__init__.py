"""Replay: what would each retraining policy have cost and gained on one's own history?"""

from homeostat.engine.replay.policies import standard_policies
from homeostat.engine.replay.replay import compare_windows, replay
from homeostat.engine.replay.result import Comparison, PolicyResult, Replay

__all__ = ["Comparison", "PolicyResult", "Replay", "compare_windows", "replay", "standard_policies"]
