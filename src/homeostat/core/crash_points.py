"""Named points at which a crash can be provoked, so that tests can kill the process exactly there.

`HOMEOSTAT_CRASH_AT=register.before_commit` (or `register.before_commit:3` for the third passage) ends the process with
SIGKILL at that point, as a power cut would. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

POINTS: tuple[str, ...] = (
    "run.started",
    "step.before_artifact",
    "artifact.before_rename",
    "artifact.after_rename",
    "step.after_record",
    "run.before_finish",
    "register.before_commit",
    "register.after_commit",
    "promote.before_commit",
    "promote.after_commit",
)

_wanted = os.environ.get("HOMEOSTAT_CRASH_AT", "")
_passages = 0


def crash_at(wanted: str) -> None:
    """Arm a point in this process: `name` or `name:passage`; an empty string disarms."""
    global _wanted, _passages
    name = wanted.partition(":")[0]
    if name and name not in POINTS:
        msg = f"no crash point is called {name!r}; there are {', '.join(POINTS)}"
        raise ValueError(msg)
    _wanted, _passages = wanted, 0


def point(name: str) -> None:
    """End the process here when this point is armed."""
    if not _wanted:
        return
    global _passages  # noqa: PLW0603
    wanted, _, passage = _wanted.partition(":")
    if wanted != name:
        return
    _passages += 1
    if _passages >= int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)
