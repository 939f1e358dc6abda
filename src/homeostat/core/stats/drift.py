"""Value drift: how far a block of rows lies from a reference, per column, beyond what chance gives at that size.

A column alarms only when three things agree: the distance exceeds its own noise by the threshold, the difference is
not chance after correcting for all columns that were looked at, and the block is large enough. A bare p-value never
alarms, and neither does a change in the number of rows: only shares are compared.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core.errors import DataError
from homeostat.core.events import Signal, SignalKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from homeostat.core.stats.profile import ColumnProfile, Profile

_SMALLEST_EXPECTED = 5.0
_PSEUDO_COUNT = 0.5


class DriftConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When a distance is an alarm.

    Attributes:
        psi: Population stability index (nats) above its noise that is worth an alarm; 0.1 is a shift one can see in a
            plot, 0.25 a large one.
        thresholds: Other values of `psi` for single columns, for example from `calibrate`.
        false_discovery: Largest q-value (0..1) of an alarm.
        minimum_rows: Fewer rows than this in block or reference never alarm.
    """

    psi: float = 0.2
    thresholds: dict[str, float] = {}
    false_discovery: float = 0.01
    minimum_rows: int = 200


class Distance(msgspec.Struct, frozen=True):
    """How far one column is from its reference: PSI, its expectation by chance, and the probability of as much."""

    psi: float
    noise: float
    p_value: float


def drift(reference: Profile, block: Profile, config: DriftConfig | None = None) -> list[Signal]:
    """One `value_drift` signal per binned column of the reference, alarmed or not.

    Args:
        reference: What the champion was trained on.
        block: Later rows, counted with `Profile.of(frame, edges_from=reference)`.
        config: Thresholds.

    Returns:
        Signals in the reference's column order; `value` is the PSI (nats), `noise` its expectation by chance,
        `(cells - 1)(1/n + 1/m)`, and `q_value` the chi-square homogeneity probability after Benjamini and Hochberg.

    Example:
        >>> import polars as pl
        >>> from homeostat.core.stats.profile import Profile
        >>> reference = Profile.of(pl.DataFrame({"x": range(1000)}))
        >>> later = Profile.of(pl.DataFrame({"x": range(400, 1400)}), edges_from=reference)
        >>> [signal.alarmed for signal in drift(reference, later)]
        [True]
    """
    pairs = {
        name: (column, block.columns[name])
        for name, column in reference.columns.items()
        if name in block.columns and column.kind in ("number", "category")
    }
    return compare(pairs, kind="value_drift", config=config or DriftConfig())


def compare(
    pairs: Mapping[str, tuple[ColumnProfile, ColumnProfile]], *, kind: SignalKind, config: DriftConfig
) -> list[Signal]:
    """Signals for named pairs of (reference, later) columns, corrected for all of them together."""
    distances = {name: distance(*pair) for name, pair in pairs.items() if _enough(*pair, config.minimum_rows)}
    q_values = dict(zip(distances, benjamini_hochberg([d.p_value for d in distances.values()]), strict=True))
    signals = []
    for name, (before, after) in pairs.items():
        threshold = config.thresholds.get(name, config.psi)
        measured = distances.get(name)
        if measured is None:
            detail = f"{after.rows} rows against {before.rows} are too few to compare ({config.minimum_rows})"
            signals.append(
                Signal(kind=kind, subject=name, value=None, n=after.rows, threshold=threshold, detail=detail)
            )
            continue
        alarmed = measured.psi - measured.noise >= threshold and q_values[name] <= config.false_discovery
        signals.append(
            Signal(
                kind=kind,
                subject=name,
                value=measured.psi,
                noise=measured.noise,
                q_value=q_values[name],
                n=after.rows,
                threshold=threshold,
                alarmed=alarmed,
                detail=_moved_most(before, after) if alarmed else "",
            )
        )
    return signals


def calibrate(blocks: Sequence[Profile], *, between: int = 30, floor: float = 0.1) -> dict[str, float]:
    """Thresholds for `DriftConfig.thresholds` that history itself passes about once in so many blocks.

    Each block is compared with all the others together; columns that move by nature, with the time of day or the
    weather, get a higher threshold, all in proportion, so that any column alarms in about one block of `between`.

    Args:
        blocks: Profiles of stretches of the reference period as long as those to be watched, in the same bins; at
            least three, better `between` or more. With fewer the largest distance seen is the threshold.
        between: Blocks between two false alarms.
        floor: No threshold is below this.

    Returns:
        Column name to PSI above noise (nats).

    Raises:
        DataError: There are fewer than three blocks.
    """
    if len(blocks) < 3:
        raise DataError(f"{len(blocks)} blocks are too few to calibrate on", hint="cut the history into more blocks")
    names = [name for name, column in blocks[0].columns.items() if column.kind in ("number", "category")]
    excess = np.array(
        [[_excess(one.columns[name], rest.columns[name]) for name in names] for one, rest in _others(blocks)]
    )
    typical = np.maximum(np.quantile(excess, 0.5, axis=0), floor / 10)
    scale = float(np.quantile((excess / typical).max(axis=1, initial=0.0), 1 - 1 / between, method="higher"))
    return {name: max(floor, float(scale * size)) for name, size in zip(names, typical, strict=True)}


def _others(blocks: Sequence[Profile]) -> Iterator[tuple[Profile, Profile]]:
    """Each block with the merge of all others, in two passes."""
    after = list(accumulate(reversed(blocks)))[::-1]
    before = list(accumulate(blocks))
    for place, block in enumerate(blocks):
        sides = ([before[place - 1]] if place else []) + ([after[place + 1]] if place + 1 < len(blocks) else [])
        yield block, sum(sides[1:], sides[0])


def _excess(block: ColumnProfile, rest: ColumnProfile) -> float:
    measured = distance(rest, block)
    return measured.psi - measured.noise


def distance(before: ColumnProfile, after: ColumnProfile) -> Distance:
    """PSI, noise floor and chi-square homogeneity probability of two columns that were counted in the same bins.

    Cells in which fewer than five rows are expected are pooled, so that the chi-square holds. Under no change the PSI
    is `(1/n + 1/m)` times a chi-square variable (Yurdakul, "Statistical properties of population stability index",
    2018), hence the noise.
    """
    from scipy.special import gammaincc  # scipy.stats would cost half a second

    old, new = _pooled(np.asarray(before.cells, dtype=float), np.asarray(after.cells, dtype=float))
    n, m = old.sum(), new.sum()
    if len(old) < 2 or n == 0 or m == 0:
        return Distance(0.0, 0.0, 1.0)
    p = (old + _PSEUDO_COUNT) / (n + _PSEUDO_COUNT * len(old))
    q = (new + _PSEUDO_COUNT) / (m + _PSEUDO_COUNT * len(old))
    psi = float(np.sum((q - p) * np.log(q / p)))
    expected_old = (old + new) * (n / (n + m))
    expected_new = (old + new) * (m / (n + m))
    chi2 = float(np.sum((old - expected_old) ** 2 / expected_old) + np.sum((new - expected_new) ** 2 / expected_new))
    freedom = len(old) - 1
    return Distance(psi, float(freedom * (1 / n + 1 / m)), float(gammaincc(freedom / 2, chi2 / 2)))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The smallest false-discovery rate at which each hypothesis would be rejected (Benjamini and Hochberg, 1995).

    Example:
        >>> [round(q, 3) for q in benjamini_hochberg([0.01, 0.04, 0.5])]
        [0.03, 0.06, 0.5]
    """
    if not p_values:
        return []
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return [float(value) for value in q]


def _enough(before: ColumnProfile, after: ColumnProfile, minimum: int) -> bool:
    return min(before.rows, after.rows) >= minimum


def _pooled(old: NDArray[Any], new: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    share = min(old.sum(), new.sum()) / max(old.sum() + new.sum(), 1.0)
    thin = (old + new) * share < _SMALLEST_EXPECTED
    if not thin.any():
        return old, new
    rest_old, rest_new = old[thin].sum(), new[thin].sum()
    old, new = old[~thin], new[~thin]
    if rest_old + rest_new == 0:
        return old, new
    if (rest_old + rest_new) * share >= _SMALLEST_EXPECTED or not len(old):
        return np.append(old, rest_old), np.append(new, rest_new)
    smallest = int(np.argmin(old + new))
    old[smallest] += rest_old
    new[smallest] += rest_new
    return old, new


def _moved_most(before: ColumnProfile, after: ColumnProfile) -> str:
    old, new = np.asarray(before.cells, dtype=float), np.asarray(after.cells, dtype=float)
    old, new = old / max(old.sum(), 1.0), new / max(new.sum(), 1.0)
    cell = int(np.argmax(np.abs(new - old)))
    return f"{before.labels[cell]}: {old[cell]:.1%} -> {new[cell]:.1%} of the rows"
