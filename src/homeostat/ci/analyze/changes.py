"""What changed from one run's data to the next's, the biggest change first."""

from __future__ import annotations

from typing import Any, NamedTuple

from homeostat.core.stats.drift import distance
from homeostat.core.stats.profile import ColumnProfile

NOTABLE = 0.05
"""A population stability index (nats, above its noise) from which on a change is worth a line; 0.25 is a large one."""

_MISSING = 0.01
_SHAPE = 10.0


class Change(NamedTuple):
    """One difference: in which column, what kind of, how large (comparable between columns), and told in words."""

    column: str
    what: str
    size: float
    before: str
    after: str


def find_changes(now: dict[str, Any], previous: dict[str, Any] | None) -> list[Change]:
    """Compare the statistics of two runs.

    Returns:
        New, gone and retyped columns first, then by the distance between the distributions and the share of nulls.
    """
    if previous is None:
        return []
    before, after = previous["columns"], now["columns"]
    found = [Change(name, "gone", _SHAPE, before[name]["kind"], "") for name in before if name not in after]
    found += [Change(name, "new", _SHAPE, "", after[name]["kind"]) for name in after if name not in before]
    for name in after:
        if name in before:
            found += _column_changes(name, before[name], after[name])
    return sorted(found, key=lambda change: (-change.size, change.column))


def _column_changes(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    if ("top" in before) != ("top" in after) or ("mean" in before) != ("mean" in after):
        return [Change(name, "type", _SHAPE, before["kind"], after["kind"])]
    found = []
    was, is_now = before["nulls"] / before["rows"], after["nulls"] / after["rows"]
    if abs(is_now - was) >= _MISSING:
        found.append(Change(name, "missing", abs(is_now - was), f"{was:.1%} missing", f"{is_now:.1%} missing"))
    if after["role"] in ("key", "time", "label time") or "then" not in after:
        return found
    counts = before["counts"] if "edges" in before else [*(count for _, count in before["top"]), before["other"]]
    moved = distance(_cells(before, counts), _cells(after, after["then"]["counts"]))
    if moved.excess >= NOTABLE:
        texts = _numbers(before, after) if "edges" in before else _words(before, after)
        found.append(Change(name, "distribution", moved.excess, *texts))
    return found


def _cells(column: dict[str, Any], counts: list[int]) -> ColumnProfile:
    """The counts as drift compares them, without the nulls, which are told on their own."""
    return ColumnProfile(kind="category", rows=column["rows"] - column["nulls"], counts=tuple(counts))


def _numbers(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, str]:
    return _average(before), _average(after)


def _average(column: dict[str, Any]) -> str:
    return f"{column['mean']:.4g} ± {column['std']:.3g}"


def _words(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, str]:
    """The value whose share moved most."""
    names = [value for value, _ in before["top"]]
    was = [count / max(1, before["rows"] - before["nulls"]) for _, count in before["top"]] + [_other(before)]
    is_now = [count / max(1, after["rows"] - after["nulls"]) for count in after["then"]["counts"]]
    moved = max(range(len(was)), key=lambda place: abs(is_now[place] - was[place]))
    name = [*names, "others"][moved]
    return f"{name}: {was[moved]:.1%}", f"{name}: {is_now[moved]:.1%}"


def _other(column: dict[str, Any]) -> float:
    return int(column["other"]) / max(1, int(column["rows"]) - int(column["nulls"]))
