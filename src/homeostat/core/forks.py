"""What a process that was forked can still do with libraries that had threads, which are not forked with it.

Polars, and with several threads ONNX Runtime, wait for ever for threads that only the parent has. Nothing can give them
back, but they can be missed: in a forked process everything is done in a thread of its own (OpenMP's threads belong to
the one that began them), and a first row whose answer is known has to come back.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Self, TypeVar

from homeostat.core.errors import ModelError

_T = TypeVar("_T")

PATIENCE_SECONDS = 3.0
"""A first row that has not come back after so long will not."""


_threaded: weakref.WeakSet[Any] = weakref.WeakSet()


class _Fork:
    """What is known of this process."""

    def __init__(self) -> None:
        self.forked = False
        self.fit: bool | None = None
        self.count = 0

    def happened(self) -> None:
        """This is a child, of a parent that may have been one."""
        self.forked, self.fit = True, None
        self.count += 1
        if "onnxruntime" in sys.modules:
            _leave_without_libraries()
        for one in list(_threaded):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


_libc = ctypes.CDLL(None)  # looked up before any fork, which may find the lock of the loader held
_on_exit = getattr(_libc, "on_exit", None)
_fork = _Fork()
_inside = threading.local()
os.register_at_fork(after_in_child=_fork.happened)


def forks() -> int:
    """How often this process and those before it were forked; what was made at another number has lost its threads."""
    return _fork.count


class Resident:
    """What lives in one process, and never changes: a copy is itself."""

    def __copy__(self) -> Self:
        """Itself: nothing of it changes."""
        return self

    def __deepcopy__(self, _: Any) -> Self:
        """Itself: nothing of it changes."""
        return self


def use_polars() -> None:
    """Have Polars compute two columns, which it does with its threads; one row of a model may need none of them."""
    import polars as pl

    pl.DataFrame({"a": [1], "b": [2]}).select(pl.col("a") + 1, pl.col("b") + 1)


def has_threads(one: Any) -> None:
    """Never end this object in a child: its end would wait for threads that only the parent has."""
    _threaded.add(one)


def answering(act: Callable[[], _T], first: Callable[[], Any]) -> _T:
    """Do something with a model, if this process can.

    Args:
        act: What is wanted.
        first: Something small of the same kind, which a process that can does at once.

    Raises:
        ModelError: This process was forked from one whose libraries had threads already.
    """
    if not _fork.forked or getattr(_inside, "yes", False):
        return act()
    if _fork.fit is None:
        _fork.fit = _within(first, PATIENCE_SECONDS) is not None
    if not _fork.fit:
        raise ModelError(
            f"process {os.getpid()} was forked from one that had used a model or Polars, whose threads it has not",
            hint="start it by spawn or forkserver (multiprocessing.set_start_method), or fork before the first use",
        )
    found = _within(act, None)
    assert found is not None
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[1]  # type: ignore[no-any-return]


def _within(act: Callable[[], Any], seconds: float | None) -> tuple[BaseException | None, Any] | None:
    """What became of something that is done in a thread, an error or a value; None when it did not come back."""
    found: list[tuple[BaseException | None, Any]] = []

    def run() -> None:
        _inside.yes = True
        try:
            found.append((None, act()))
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
            found.append((error, None))

    thread = threading.Thread(target=run, name="forked-model", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def _leave_without_libraries() -> None:
    """Have this process end without the last words of C libraries, which wait for threads that only the parent has.

    Python's own end, and whatever was registered with `atexit`, comes before.
    """
    if _on_exit is not None:  # of glibc: the handler is given the status, and the last one is called first
        _on_exit(_libc._exit, None)  # noqa: SLF001
