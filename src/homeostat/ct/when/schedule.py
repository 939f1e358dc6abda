"""Schedules: a length of time, or a cron expression in a time zone, and what becomes of times that were missed."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from homeostat.core.clock import duration
from homeostat.core.errors import LoopError
from homeostat.ct.when.combinators import POLICIES, Look, Memory, Past, Policy, Reading

Missed = Literal["once", "skip"]
Overlap = Literal["queue", "skip"]


@POLICIES.register
class Every(Policy, tag="every", frozen=True, kw_only=True):
    """A schedule; see `every`."""

    schedule: str
    zone: str = "UTC"
    missed: Missed = "once"
    grace: str = "1h"
    overlap: Overlap = "queue"

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Fires when a scheduled time has passed since the last fire."""
        since = seen.past.since
        if since is None:
            return memory, Reading(fired=False, reason="the loop has not started", evidence={"schedule": self.schedule})
        due = self._due(since, seen.past, seen.now)
        evidence = {"schedule": self.schedule, "zone": self.zone, "since": since, "due": due, "now": seen.now}
        if due > seen.now:
            return memory, Reading(fired=False, reason=f"next scheduled for {due:%Y-%m-%d %H:%M}", evidence=evidence)
        reason = f"scheduled for {due:%Y-%m-%d %H:%M} ({self.schedule})"
        return memory, Reading(fired=True, reason=reason, evidence=evidence)

    def _due(self, since: datetime, history: Past, now: datetime) -> datetime:
        due = self._next(since)
        if self.overlap == "skip" and history.busy_until is not None:
            while due <= history.busy_until:
                due = self._next(due)
        if self.missed == "skip":
            while due < now - duration(self.grace):
                due = self._next(due)
        return due

    def _next(self, moment: datetime) -> datetime:
        if not _is_cron(self.schedule):
            return moment + duration(self.schedule)
        from cronsim import CronSim

        upcoming: datetime = next(CronSim(self.schedule, moment.astimezone(ZoneInfo(self.zone))))
        return upcoming.astimezone(moment.tzinfo)


def every(
    schedule: str, *, zone: str = "UTC", missed: Missed = "once", grace: str = "1h", overlap: Overlap = "queue"
) -> Every:
    """A schedule: a length of time since the last retraining, or a cron expression.

    Args:
        schedule: `"7d"`, or five cron fields such as `"0 3 * * MON"`.
        zone: The IANA time zone of a cron expression.
        missed: `once` makes up for any number of missed times with one run; `skip` lets those older than `grace` go.
        grace: How late a run may still start with `missed="skip"`.
        overlap: `queue` runs once more after a run in flight; `skip` lets times that fell into it go.

    Raises:
        LoopError: the schedule or the zone does not exist.
    """
    if _is_cron(schedule):
        _check_cron(schedule, zone)
    else:
        duration(schedule)
    duration(grace)
    return Every(schedule=schedule, zone=zone, missed=missed, grace=grace, overlap=overlap)


def _is_cron(schedule: str) -> bool:
    return len(schedule.split()) > 1


def _check_cron(schedule: str, zone: str) -> None:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(schedule, datetime(2000, 1, 1, tzinfo=ZoneInfo(zone)))
    except CronSimError as error:
        raise LoopError(f"{schedule!r} is not a cron expression: {error}", hint="as in '0 3 * * MON'") from error
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise LoopError(f"there is no time zone {zone!r}", hint="as in 'America/New_York'") from error
