"""One version of a model made ready to answer: its codecs, and the warmed model."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from operator import attrgetter
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.cd.serve.rows import Rows, row_decoder
from homeostat.cd.serve.scoring.encode import QuickCoder
from homeostat.cd.serve.scoring.scores import Labels, Scores
from homeostat.core.clock import stopwatch
from homeostat.core.errors import DataError, ModelError, RefusedError
from homeostat.core.schema.accepted import widens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from homeostat.cd.log import Scored
    from homeostat.cd.serve.protocols import CompiledProtocol, Protocol
    from homeostat.core.model import Model, Output, Signature

INLINE_SECONDS = 0.000_1
"""A model that answers one row faster than this is called on the event loop; a slower one in a thread."""

BLOCK_SECONDS = 0.001
"""So long a call may keep the event loop; requests of more rows go to the thread."""

_count = attrgetter("count")
_WARM_CALLS, _WARM_SECONDS, _WARM_ROWS = 6, 0.25, 64


class LoadedVersion:
    """A version that can answer. The model is warmed up and measured on its first golden row.

    Attributes:
        seconds: Median time of one row, measured when it was loaded.
        inline_rows: Requests of up to so many rows are answered on the event loop; 0 for a slow model.
    """

    def __init__(self, version: int, model: Model, protocols: Sequence[Protocol] = ()) -> None:
        self.version = version
        self.model = model
        self.signature: Signature = model.signature
        self.decoder = row_decoder(self.signature)
        self.compiled = {protocol: _compiled(protocol, self.signature) for protocol in protocols}
        classes = self.signature.classes
        self._labels = None if classes is None else Labels(classes, model.manifest.blob.labels)
        encoder = model.manifest.encoder
        quick = model.manifest.features is None and encoder is not None
        self._coder = QuickCoder(encoder, self.decoder) if quick and encoder is not None else None
        self.seconds, self.inline_rows = self._measure()

    def check_golden(self) -> None:
        """Ask the golden rows again, by the way that traffic takes."""
        golden = self.model.manifest.golden
        if golden is not None and golden.rows:
            rows = self.decoder.rows(golden.rows)
            (found,) = self.score_parts([Rows(len(rows), rows)])
            if isinstance(found, BaseException):
                raise found
            self.model.compare_golden(found.array.reshape(len(rows), -1), found.values)

    def score(self, rows: list[Any]) -> list[Scored]:
        """`[value, probability, ...]` for each row of the decoder's row type.

        Raises:
            DataError: `features` or the model refused these rows.
            ModelError: One of them raised something else, or gave no finite number.
        """
        (found,) = self.score_parts([Rows(len(rows), rows)])
        if isinstance(found, BaseException):
            raise found
        return found.scored()

    def score_parts(self, parts: Sequence[Rows]) -> list[Scores | BaseException]:
        """Score the rows of several requests in one call; what cannot be scored spoils no other request's answer."""
        try:
            return self._scored(parts)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's features and any estimator may raise anything
            if len(parts) == 1:
                return [self._explained(error)]
        return [self.score_parts([part])[0] for part in parts]

    def _scored(self, parts: Sequence[Rows]) -> list[Scores | BaseException]:
        output = self._call(parts)
        array, named = output.scores, self._labels
        if len(array) != sum(map(_count, parts)):
            raise ModelError(f"the model gave {len(array):,} answers for {sum(map(_count, parts)):,} rows")
        # A sum is finite only if all of it is; otherwise each row is looked at.
        finite = isfinite(np.add.reduce(array, axis=None)) or bool(np.isfinite(array).all())
        if finite and len(parts) == 1 and parts[0].columns is not None:
            return [Scores(array, 0, array.tolist() if named is None else named.of(output))]
        lists = array.tolist()
        if named is None:
            values = lists
        else:
            values = named.of_lists(lists) if output.places is None and finite else named.of(output)
        results: list[Scores | BaseException] = []
        start = 0
        for part in parts:
            end = start + part.count
            if finite or np.isfinite(array[start:end]).all():
                results.append(Scores(array, start, values[start:end], lists[start:end]))
            else:
                results.append(_not_finite(array[start:end]))
            start = end
        return results

    def _call(self, parts: Sequence[Rows]) -> Output:
        if self._coder is not None:
            return self.model.output(self._coder.matrix(parts))
        import polars as pl

        tables = [
            self.decoder.frame(part.rows) if part.rows is not None else self.decoder.table(part.columns or {})
            for part in parts
        ]
        return self.model.table_output(tables[0] if len(tables) == 1 else pl.concat(tables))

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, (DataError, ModelError)):
            return error
        what = f"version {self.version} cannot score these rows: {type(error).__name__}: {error}"
        explained = ModelError(what)
        explained.__cause__ = error
        return explained

    def _measure(self) -> tuple[float, int]:
        """Seconds of a single row, and how many rows fit into what a call may take of the event loop."""
        golden = self.model.manifest.golden
        if golden is None or not golden.rows:
            return 1.0, 0
        rows = self.decoder.rows([golden.rows[0]])
        one = self._timed(self.decoder.gathered(rows))
        if one >= INLINE_SECONDS:
            return one, 0
        many = self._timed(self.decoder.gathered(rows * _WARM_ROWS))
        each = max((many - one) / (_WARM_ROWS - 1), 1e-8)
        return one, max(1, int((BLOCK_SECONDS - one) / each))

    def _timed(self, rows: Rows) -> float:
        times: list[float] = []
        while len(times) < _WARM_CALLS and sum(times) < _WARM_SECONDS:
            start = stopwatch()
            (found,) = self.score_parts([rows])
            times.append(stopwatch() - start)
            if isinstance(found, BaseException):
                raise found
        return median(times)


@lru_cache(maxsize=32)
def _compiled(protocol: Protocol, signature: Signature) -> CompiledProtocol:
    """Versions of a model mostly have the same signature, and compiling takes milliseconds."""
    return protocol.compile(signature)


def _not_finite(array: NDArray[np.float64]) -> ModelError:
    row = int(np.argmin(np.isfinite(array if array.ndim == 1 else array.sum(axis=1))))
    return ModelError(f"the model gave NaN or infinity for row {row + 1} of {len(array):,}")


def contract_problems(old: Signature, new: Signature) -> list[str]:
    """What callers of one model would notice when another one takes its place; empty when nothing."""
    problems = []
    before, after = {c.name: c for c in old.inputs}, {c.name: c for c in new.inputs}
    problems += [f"input {name!r} is gone" for name in before if name not in after]
    problems += [f"input {name!r} is new" for name in after if name not in before]
    for name in before.keys() & after.keys():
        if not widens(before[name], after[name].kind):
            problems.append(f"input {name!r} was {before[name].kind}, is {after[name].kind}")
    if set(old.key) != set(new.key):
        problems.append(f"the key was {', '.join(old.key) or 'none'}, is {', '.join(new.key) or 'none'}")
    if old.task != new.task:
        problems.append(f"the task was {old.task}, is {new.task}")
    elif set(map(repr, old.classes or ())) != set(map(repr, new.classes or ())):
        problems.append(f"the classes were {old.classes}, are {new.classes}")
    return sorted(problems)


def same_contract(old: LoadedVersion, new: LoadedVersion) -> None:
    """Refuse a version that callers of the present one could not use.

    Raises:
        RefusedError: Lists what changed.
    """
    problems = contract_problems(old.signature, new.signature)
    if problems:
        what = f"version {new.version} has another contract than version {old.version}: {'; '.join(problems[:20])}"
        raise RefusedError(what, hint="train on the same columns, or serve it under a Loop of its own")
