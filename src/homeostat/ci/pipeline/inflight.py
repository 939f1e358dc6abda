"""Identical work in flight runs once, and a run that is alive can be told from one whose process died.

A name is locked by a byte-range lock of the operating system on one file of the store, at an offset taken from the
name's hash, and within the process by a set of names. Against a lease with an expiry this has three advantages: nobody
waits for the expiry of a process that was killed (the system lets go at once), no clock is trusted, and no commit is
spent on it. It reaches as far as the store does: every process of one machine.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from homeostat.core.clock import pause
from homeostat.core.errors import StoreError
from homeostat.core.files import open_regular

try:
    import fcntl
except ImportError:  # Windows: within one process only
    fcntl = None  # type: ignore[assignment]


_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.1
_OFFSETS = 1 << 62


class InFlight:
    """The locks of one store as this process sees them."""

    def __init__(self, file: Path) -> None:
        try:
            # Never closed: closing any handle of the file would drop all of the process's locks on it.
            self._handle = open_regular(file, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            what = f"the lock file {file} cannot be opened: {error.strerror or error}"
            raise StoreError(what, hint="check the permissions of the store's folder") from error
        self._changed = threading.Condition()
        self._entered: set[str] = set()
        self._locked: set[str] = set()
        self._landed: dict[str, str] = {}

    def try_enter(self, name: str) -> bool:
        """Lock a name, unless another thread or process has it."""
        with self._changed:
            return self._try(name)

    def enter(self, name: str, cancelled: Callable[[], bool]) -> bool:
        """Wait for a name and lock it; False when the wait was cancelled."""
        wait = _FIRST_PAUSE
        while not cancelled():
            with self._changed:
                if self._try(name):
                    return True
                if name in self._entered:
                    self._changed.wait(_LONGEST_PAUSE)
                    continue
            pause(wait)
            wait = min(2 * wait, _LONGEST_PAUSE)
        return False

    def leave(self, name: str, landed: str | None = None) -> None:
        """Unlock a name. With a result that is not committed yet, other processes wait on, until `committed`."""
        with self._changed:
            self._entered.discard(name)
            if landed is not None:
                self._landed[name] = landed
            self._unlock(name)
            self._changed.notify_all()

    def landed(self, name: str) -> str | None:
        """The result of a name that this process has, but has not committed yet."""
        with self._changed:
            return self._landed.get(name)

    def committed(self, names: Iterable[str]) -> None:
        """The results of these names are in the ledger, or given up: let other processes go on."""
        with self._changed:
            for name in names:
                self._landed.pop(name, None)
                self._unlock(name)

    def _try(self, name: str) -> bool:
        if name in self._entered:
            return False
        if name not in self._locked and not self._lock(name):
            return False
        self._entered.add(name)
        return True

    def _lock(self, name: str) -> bool:
        if fcntl is not None:
            try:
                fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(name))
            except (BlockingIOError, PermissionError):
                return False
        self._locked.add(name)
        return True

    def _unlock(self, name: str) -> None:
        if name in self._locked and name not in self._entered and name not in self._landed:
            if fcntl is not None:
                fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, _offset(name))
            self._locked.discard(name)


def inflight_of(folder: Path) -> InFlight:
    """The flights of a store; one object per store and process, whoever asks."""
    place = os.path.realpath(folder)
    with _guard:
        if place not in _flights:
            _flights[place] = InFlight(folder / "locks")
        return _flights[place]


def _offset(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _OFFSETS


_guard = threading.Lock()
_flights: dict[str, InFlight] = {}


def _forget() -> None:
    """A forked child holds none of its parent's locks."""
    global _guard  # noqa: PLW0603 - another thread of the parent may have held it at the fork
    _guard = threading.Lock()
    _flights.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
