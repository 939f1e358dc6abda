"""Value drift: how far a block of rows lies from a reference, per column, beyond what chance gives at that size.

Each statistic is a value in the table `STATISTICS`; the signal that it gives carries its name.
A column alarms only when three things agree: the distance exceeds its own noise by the threshold, the difference is
not chance after correcting for all columns that were looked at, and the block is large enough. A bare p-value never
alarms, and neither does a change in the number of rows: only shares are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.core.errors import DataError
from homeostat.core.events import Signal, SignalKind
from homeostat.core.open_table import OpenTable

if TYPE_CHECKING:
    from homeostat.core.stats.profile import ColumnProfile, Profile

    _Pair = tuple[ColumnProfile, ColumnProfile]

_BINNED = ("number", "category")
_SMALLEST_EXPECTED = 5.0
_PSEUDO_COUNT = 0.5


class Statistic(msgspec.Struct, frozen=True, kw_only=True):
    """A distance between two distributions over the same cells.

    Attributes:
        name: How policies and signals call it.
        distance: Of the shares of the cells before and after, shapes (cells,), each above zero; at least 0.
        noise: What the distance is expected to be when nothing changed: of the common shares and the numbers of rows
            before and after.
        needs: The kinds of columns that it can measure.
    """

    name: str
    distance: Callable[[NDArray[Any], NDArray[Any]], float]
    noise: Callable[[NDArray[Any], float, float], float]
    needs: tuple[str, ...] = ("number", "category")


class DriftConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When a distance is an alarm.

    Attributes:
        statistic: What is measured, by its name in `STATISTICS`.
        threshold: How far above its noise it is worth an alarm; a population stability index of 0.1 is a shift one can
            see in a plot, of 0.25 a large one.
        thresholds: Others for single columns, for example from `calibrate`.
        also: Further statistics that are measured for policies, and alarm nobody.
        false_discovery: Largest q-value (0..1) of an alarm.
        minimum_rows: Fewer rows than this in block or reference never alarm.
    """

    statistic: str = "psi"
    threshold: float = 0.2
    thresholds: dict[str, float] = {}
    also: tuple[str, ...] = ()
    false_discovery: float = 0.01
    minimum_rows: int = 200


class Distance(msgspec.Struct, frozen=True):
    """How far one column is from its reference, what that is expected to be by chance, and the probability of as much.

    The probability is that of the chi-square test of homogeneity, whatever the statistic.
    """

    value: float
    noise: float
    p_value: float

    @property
    def excess(self) -> float:
        """How far beyond chance."""
        return self.value - self.noise


def _psi(p: NDArray[Any], q: NDArray[Any]) -> float:
    return float(np.sum((q - p) * np.log(q / p)))


def _psi_noise(shares: NDArray[Any], n: float, m: float) -> float:
    """Yurdakul, "Statistical properties of population stability index", 2018: chi-square, scaled by `1/n + 1/m`."""
    return (len(shares) - 1) * (1 / n + 1 / m)


def _js(p: NDArray[Any], q: NDArray[Any]) -> float:
    middle = (p + q) / 2
    return float(np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))) / 2


def _js_noise(shares: NDArray[Any], n: float, m: float) -> float:
    """An eighth of the stability index, where the two distributions are near each other."""
    return _psi_noise(shares, n, m) / 8


STATISTICS: OpenTable[Statistic] = OpenTable("drift statistic")
"""What distance may be measured by, by name; `STATISTICS.register` adds one's own."""
PSI = STATISTICS.register(Statistic(name="psi", distance=_psi, noise=_psi_noise))
"""Population stability index, in nats."""
STATISTICS.register(Statistic(name="js", distance=_js, noise=_js_noise))
"""Jensen-Shannon divergence, in nats (Lin, IEEE Transactions on Information Theory 37, 1991)."""


def drift(reference: Profile, block: Profile, config: DriftConfig | None = None) -> list[Signal]:
    """One `value_drift` signal per statistic and column of the reference that it can measure, alarmed or not.

    Args:
        reference: What the champion was trained on.
        block: Later rows, counted with `Profile.of(frame, edges_from=reference)`.
        config: Thresholds.

    Returns:
        Signals in the reference's column order; `value` is the distance, `noise` its expectation by chance, and
        `q_value` the chi-square homogeneity probability after Benjamini and Hochberg.

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
        if name in block.columns and column.kind in _BINNED
    }
    return compare(pairs, kind="value_drift", config=config or DriftConfig())


def compare(pairs: Mapping[str, _Pair], *, kind: SignalKind, config: DriftConfig) -> list[Signal]:
    """Signals for named pairs of (reference, later) columns, corrected for all of them together."""
    return [
        signal
        for name in dict.fromkeys((config.statistic, *config.also))
        for signal in _compare(STATISTICS[name], pairs, kind, config)
    ]


def _compare(statistic: Statistic, pairs: Mapping[str, _Pair], kind: SignalKind, config: DriftConfig) -> list[Signal]:
    watched = statistic.name == config.statistic
    pairs = {name: pair for name, pair in pairs.items() if pair[0].kind in statistic.needs}
    enough = {name: pair for name, pair in pairs.items() if _enough(*pair, config.minimum_rows)}
    distances = {name: distance(*pair, statistic) for name, pair in enough.items()}
    q_values = dict(zip(distances, benjamini_hochberg([d.p_value for d in distances.values()]), strict=True))
    signals = []
    for name, (before, after) in pairs.items():
        threshold = config.thresholds.get(name, config.threshold)
        measured = distances.get(name)
        seen: dict[str, Any] = {"kind": kind, "subject": name, "n": after.rows, "statistic": statistic.name}
        if watched:
            seen["threshold"] = threshold
        if measured is None:
            detail = f"{after.rows} rows against {before.rows} are too few to compare ({config.minimum_rows})"
            signals.append(Signal(value=None, detail=detail, **seen))
            continue
        alarmed = watched and measured.excess >= threshold and q_values[name] <= config.false_discovery
        detail = _moved_most(before, after) if alarmed else ""
        seen |= {"value": measured.value, "noise": measured.noise, "q_value": q_values[name]}
        signals.append(Signal(alarmed=alarmed, detail=detail, **seen))
    return signals


def calibrate(
    blocks: Sequence[Profile], *, between: int = 30, floor: float = 0.1, statistic: str = "psi"
) -> dict[str, float]:
    """Thresholds for `DriftConfig.thresholds` that history itself passes about once in so many blocks.

    Each block is compared with all the others together; columns that move by nature, with the time of day or the
    weather, get a higher threshold, all in proportion, so that any column alarms in about one block of `between`.

    Args:
        blocks: Profiles of stretches of the reference period as long as those to be watched, in the same bins; at
            least three, better `between` or more. With fewer the largest distance seen is the threshold.
        between: Blocks between two false alarms.
        floor: No threshold is below this.
        statistic: What is measured.

    Returns:
        Column name to distance above noise.

    Raises:
        DataError: There are fewer than three blocks.
    """
    if len(blocks) < 3:
        raise DataError(f"{len(blocks)} blocks are too few to calibrate on", hint="cut the history into more blocks")
    measure = STATISTICS[statistic]
    names = [name for name, column in blocks[0].columns.items() if column.kind in measure.needs]
    excess = np.array(
        [
            [distance(rest.columns[name], one.columns[name], measure).excess for name in names]
            for one, rest in _others(blocks)
        ]
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


def distance(before: ColumnProfile, after: ColumnProfile, statistic: Statistic | None = None) -> Distance:
    """How far apart two columns are that were counted in the same bins; by default their population stability index.

    Cells in which fewer than five rows are expected are pooled, so that the chi-square holds.
    """
    from scipy.special import gammaincc  # scipy.stats would cost half a second

    old, new = _pooled(np.asarray(before.cells, dtype=float), np.asarray(after.cells, dtype=float))
    n, m = old.sum(), new.sum()
    if len(old) < 2 or n == 0 or m == 0:
        return Distance(0.0, 0.0, 1.0)
    p = (old + _PSEUDO_COUNT) / (n + _PSEUDO_COUNT * len(old))
    q = (new + _PSEUDO_COUNT) / (m + _PSEUDO_COUNT * len(old))
    expected_old = (old + new) * (n / (n + m))
    expected_new = (old + new) * (m / (n + m))
    chi2 = float(np.sum((old - expected_old) ** 2 / expected_old) + np.sum((new - expected_new) ** 2 / expected_new))
    chance = float(gammaincc((len(old) - 1) / 2, chi2 / 2))
    measure = statistic or PSI
    return Distance(float(measure.distance(p, q)), float(measure.noise((old + new) / (n + m), n, m)), chance)


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
