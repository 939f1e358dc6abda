"""Label maturity: which rows may be judged now without favouring those whose labels happen to arrive early.

Labels do not arrive in the order of requests: flights that land early report first, defaults report before the loans
that are repaid. Taking labels as they come would judge a biased sample. So rows are cut into cohorts by their time, and
a cohort counts, whole, once its labels are in; cohorts are released strictly in order.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from homeostat.core.clock import utc
from homeostat.core.table.rows import NEVER

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNKNOWN = np.iinfo(np.int64).min
_LONGEST = timedelta(days=90)


class Maturity(msgspec.Struct, frozen=True, kw_only=True):
    """When a cohort of rows may be judged.

    Attributes:
        every: Length of a cohort.
        complete: Share of labels (0..1) that makes a cohort mature at once; 1 admits no bias at all.
        wait: A cohort is taken as it is this long after its end; labels that are still missing then count as missing.
    """

    every: timedelta = timedelta(hours=1)
    complete: float = 1.0
    wait: timedelta = timedelta(days=7)


def microseconds(moments: ArrayLike) -> NDArray[np.int64]:
    """Times as microseconds since 1970 UTC, shape (n,); NaT stays the smallest integer."""
    array = np.asarray(moments)
    if array.dtype.kind == "O":
        return np.array([_UNKNOWN if m is None else microsecond(m) for m in array.tolist()], dtype=np.int64)
    return array if array.dtype == np.int64 else array.astype("datetime64[us]").astype(np.int64)


def microsecond(moment: datetime) -> int:
    """One time as microseconds since 1970 UTC."""
    return (utc(moment) - _EPOCH) // _MICROSECOND


def moment(number: int) -> datetime:
    """The time of a number of microseconds since 1970 UTC."""
    return _EPOCH + number * _MICROSECOND


def matured(
    times: ArrayLike, label_times: ArrayLike, now: datetime, maturity: Maturity | None = None
) -> NDArray[np.bool_]:
    """Which rows belong to the unbroken prefix of mature cohorts.

    Args:
        times: Time of each request, shape (n,), in any order; datetime64 or microseconds since 1970 UTC.
        label_times: When each label became known, shape (n,); NaT for never so far.
        now: Labels after this moment are not seen.
        maturity: The rule.

    Returns:
        Mask of shape (n,). A row of a mature cohort whose label is not known by `now` is included: it is missing.

    Example:
        >>> noon = datetime(2013, 3, 1, 12, tzinfo=UTC)
        >>> times = np.array(["2013-03-01T09:10", "2013-03-01T10:10"], dtype="datetime64[us]")
        >>> landed = np.array(["2013-03-01T11:00", "2013-03-01T13:00"], dtype="datetime64[us]")
        >>> matured(times, landed, noon).tolist()
        [True, False]
    """
    rule = maturity or Maturity()
    requested = microseconds(times)
    if not len(requested):
        return np.zeros(0, dtype=bool)
    present, every, wait = microsecond(now), rule.every // _MICROSECOND, rule.wait // _MICROSECOND
    known = labelled_by(label_times, now)
    cohort, which = np.unique(requested // every, return_inverse=True)
    ends = (cohort + 1) * every
    share = np.bincount(which, weights=known) / np.bincount(which)
    mature = (ends <= present) & ((share >= rule.complete) | (ends + wait <= present))
    first_immature = len(mature) if mature.all() else int(mature.argmin())
    return np.asarray(which < first_immature, dtype=np.bool_)


def learned(times: ArrayLike, label_times: ArrayLike, maturity: Maturity | None = None) -> Maturity:
    """The rule with a wait of twice the delay within which 99.9 % of the labels of past rows came, 90 days at most.

    Args:
        times: Times of rows that are all old enough to have their labels, such as the training table's.
        label_times: When their labels became known; NaT, or the largest integer, for never.
        maturity: Where the rest of the rule, and the wait without any label, is taken from.

    Example:
        >>> times = np.array(["2013-03-01T09:00", "2013-03-01T10:00"], dtype="datetime64[us]")
        >>> learned(times, times + np.timedelta64(3, "h")).wait
        datetime.timedelta(seconds=21600)
    """
    rule = maturity or Maturity()
    asked, arrived = microseconds(times), microseconds(label_times)
    there = (arrived != _UNKNOWN) & (arrived != NEVER) & (asked != _UNKNOWN)
    if not there.any():
        return rule
    delay = int(np.quantile(arrived[there] - asked[there], 0.999, method="higher"))
    return msgspec.structs.replace(rule, wait=min(max(2 * delay, 0) * _MICROSECOND, _LONGEST))


def labelled_by(label_times: ArrayLike, now: datetime) -> NDArray[np.bool_]:
    """Which labels are known by `now`, shape (n,)."""
    arrived = microseconds(label_times)
    known: NDArray[np.bool_] = (arrived != _UNKNOWN) & (arrived <= microsecond(now))
    return known


def labelled_between(label_times: ArrayLike, since: datetime | None, now: datetime) -> int:
    """How many labels arrived after `since` and by `now`."""
    known = labelled_by(label_times, now)
    return int(known.sum() if since is None else (known & ~labelled_by(label_times, since)).sum())
