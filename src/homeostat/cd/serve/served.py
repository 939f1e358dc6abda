"""One version of a model made ready to answer: decoder, warmed model, and the way in which it is called."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from homeostat.cd.serve.batcher import Batcher
from homeostat.cd.serve.decode import RowDecoder
from homeostat.cd.serve.quick import quick_scorer
from homeostat.core.clock import stopwatch
from homeostat.core.errors import DataError, ModelError, RefusedError

if TYPE_CHECKING:
    from homeostat.cd.log import Scored
    from homeostat.core.model import Model, Signature

INLINE_SECONDS = 0.000_2
"""A model that answers one row faster than this is called on the event loop; a slower one through a batcher."""

INLINE_ROWS = 64
QUICK_ROWS = 256
"""Beyond so many rows a table is faster."""

_WARM_CALLS, _WARM_SECONDS = 12, 0.25


class Served:
    """A version that can answer.

    Args:
        version: Its number.
        model: The loaded model; it is warmed up and measured on its first golden row.

    Attributes:
        seconds: Median time of one row, measured when it was loaded.
        inline: Whether small requests are answered on the event loop.
    """

    def __init__(self, version: int, model: Model) -> None:
        self.version = version
        self.model = model
        self.signature = model.signature
        self.decoder = RowDecoder(self.signature.inputs, self.signature.key)
        self._quick = quick_scorer(model, self.decoder)
        golden = model.manifest.golden
        self.seconds = self._measure(golden.rows[0]) if golden is not None and golden.rows else 1.0
        self.inline = self.seconds < INLINE_SECONDS
        self._batcher: Batcher[Scored] = Batcher(self.score)

    def score(self, rows: list[Any]) -> list[Scored]:
        """`[value, probability, ...]` for each row of the decoder's row type.

        Raises:
            DataError: `features` or the model refused these rows.
            ModelError: One of them raised something else, or gave no finite number.
        """
        if self._quick is not None and len(rows) <= QUICK_ROWS:
            quick = self._quick(rows)
            if quick is not None:
                return quick
        try:
            found = self.model.predict(self.decoder.frame(rows))
        except (DataError, ModelError):
            raise
        except Exception as error:  # the user's features and any estimator may raise anything
            what = f"version {self.version} cannot score these rows: {type(error).__name__}: {error}"
            raise ModelError(what) from error
        values = found.value.tolist()
        if found.score is None:
            return [[value] for value in values]
        return [[value, *scores] for value, scores in zip(values, found.score.tolist(), strict=True)]

    async def answer(self, rows: list[Any]) -> list[Scored]:
        """The same, without keeping the event loop waiting for a slow model or many rows."""
        if self.inline and len(rows) <= INLINE_ROWS:
            return self.score(rows)
        return await self._batcher(rows)

    def close(self) -> None:
        """Give its thread back."""
        self._batcher.close()

    def _measure(self, warm_row: dict[str, Any]) -> float:
        rows = self.decoder.rows([warm_row])
        times: list[float] = []
        while len(times) < _WARM_CALLS and sum(times) < _WARM_SECONDS:
            start = stopwatch()
            self.score(rows)
            times.append(stopwatch() - start)
        return median(times)


def contract_problems(old: Signature, new: Signature) -> list[str]:
    """What callers of one model would notice when another one takes its place; empty when nothing."""
    problems = []
    before, after = {c.name: c for c in old.inputs}, {c.name: c for c in new.inputs}
    problems += [f"input {name!r} is gone" for name in before if name not in after]
    problems += [f"input {name!r} is new" for name in after if name not in before]
    for name in before.keys() & after.keys():
        kinds = {before[name].kind, after[name].kind}
        if len(kinds) > 1 and kinds != {"category", "text"}:
            problems.append(f"input {name!r} was {before[name].kind}, is {after[name].kind}")
    if old.task != new.task:
        problems.append(f"the task was {old.task}, is {new.task}")
    elif set(map(repr, old.classes or ())) != set(map(repr, new.classes or ())):
        problems.append(f"the classes were {old.classes}, are {new.classes}")
    return sorted(problems)


def same_contract(old: Served, new: Served) -> None:
    """Refuse a version that callers of the present one could not use.

    Raises:
        RefusedError: Lists what changed.
    """
    problems = contract_problems(old.signature, new.signature)
    if problems:
        what = f"version {new.version} has another contract than version {old.version}: {'; '.join(problems[:20])}"
        raise RefusedError(what, hint="train on the same columns, or serve it under a Loop of its own")
