"""When to retrain: policies, each a pure fold from a memory and an observation to a memory and a reading."""

from homeostat.ct.when.combinators import POLICIES, Look, Memory, Past, Policy, Reading, vote
from homeostat.ct.when.policies import Degraded, degraded, drift, never, new_version, rows
from homeostat.ct.when.schedule import every

__all__ = ["POLICIES", "Degraded", "Look", "Memory", "Past", "Policy", "Reading"]
__all__ += ["degraded", "drift", "every", "never", "new_version", "rows", "vote"]
