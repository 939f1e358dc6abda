"""Values on their way from one step to the next: what a step gets is always what the artifact holds."""

from __future__ import annotations

import sys
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from homeostat.core import codecs
from homeostat.core.errors import HomeostatError, IntegrityError, NotFoundError, StepFailedError, blamed

if TYPE_CHECKING:
    from homeostat.ci.pipeline.graph import Step
    from homeostat.core.artifacts import ArtifactStore

_NOTHING = object()


class Value:
    """The output of a step: an artifact's name, and its value or bytes while a later step may want them.

    A step that changes its argument in place must not change what another step, or a resumed run, is given. So tables
    are handed over as clones, arrays read-only, containers as copies, and records are decoded anew for every taker.
    """

    def __init__(self, name: str, blobs: ArtifactStore, value: Any = _NOTHING, data: bytes | None = None) -> None:
        self.name = name
        self._blobs = blobs
        self._value = value
        self._data = data

    @classmethod
    def made(cls, name: str, value: Any, data: bytes, blobs: ArtifactStore) -> Value:
        """The value that a step just returned."""
        return cls(name, blobs, value, data if codecs.codec_name(data) == "json" else None)

    @classmethod
    def stored(cls, name: str, blobs: ArtifactStore) -> Value | None:
        """A value that an earlier run stored; None when its bytes are missing or damaged."""
        try:
            blobs.get(name)
        except (NotFoundError, IntegrityError):
            return None
        return cls(name, blobs)

    def hand(self) -> Any:
        """The value for one step."""
        if self._value is not _NOTHING:
            try:
                return _own(self._value)
            except _NotOwnedError:
                pass
        data = self._data if self._data is not None else self._blobs.get(self.name)
        value = codecs.decode(data, self._blobs)
        if codecs.codec_name(data) == "json":
            self._data = data
            return value
        self._value = value
        return _own(value)

    def forget(self) -> None:
        """No further step takes it: let its memory go."""
        self._value, self._data = _NOTHING, None


class _NotOwnedError(Exception):
    """A value of which no copy is made here; it is decoded anew."""


def _own(value: Any, *, inside: bool = False) -> Any:
    """A value that its taker cannot change for others: a copy where it is cheap.

    Raises:
        _NotOwnedError: something inside may be changed in place and is no plain container.
    """
    kind = type(value)
    if kind in _UNCHANGEABLE:
        return value
    if kind is dict:
        return {_own(key): _own(item, inside=True) for key, item in value.items()}
    if kind in (list, tuple):
        return kind(_own(item, inside=True) for item in value)
    polars, numpy = sys.modules.get("polars"), sys.modules.get("numpy")
    if polars is not None and isinstance(value, (polars.DataFrame, polars.Series)):
        return value.clone()
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.copy() if inside else _read_only(value)
    if codecs.find(value).name == "json":
        raise _NotOwnedError
    return value


def _read_only(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view


_UNCHANGEABLE = frozenset({type(None), bool, int, float, complex, str, bytes, datetime, date, timedelta})


def step_error(error: Exception, run: str, step: Step) -> HomeostatError:
    """The error of a step, saying in which run and step it happened and how to resume."""
    resume = f"mend it, then `homeostat run --resume {run}` goes on from this step"
    if isinstance(error, HomeostatError):
        hint = f"{error.hint}; then `homeostat run --resume {run}` goes on from this step" if error.hint else resume
        try:
            told = type(error)(f"run {run}, step `{step.name}`: {error.what}", hint=hint)
        except TypeError:
            told = HomeostatError(f"run {run}, step `{step.name}`: {error.what}", hint=hint)
    else:
        line = blamed(error)
        where = f" ({line})" if line else ""
        what = f"run {run}, step `{step.name}` failed{where}: {type(error).__name__}: {error}"
        told = StepFailedError(what, hint=resume)
    told.__cause__ = error
    return told
