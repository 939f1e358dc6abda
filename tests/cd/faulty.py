"""Injected exceptions: the real parts do their work, and the one at a chosen place raises before or after it."""

from __future__ import annotations

import functools
from contextlib import contextmanager


class LibraryPanicError(BaseException):
    """What a library written in another language raises when it panics: no `Exception`."""


KINDS = (RuntimeError, MemoryError, UnicodeError, LibraryPanicError)


class Faults:
    """Raises at one passage of one of its places, while it is armed.

    Args:
        patch: pytest's `monkeypatch`.
    """

    def __init__(self, patch):
        self._patch = patch
        self.places = []
        self._place, self._passages, self._kind = "", 0, RuntimeError
        self.hit = False

    def at(self, owner, *names, after=True):
        """Make every call of these attributes two places: before it, and after it, where nothing is lost by that."""
        for name in names:
            self._patch.setattr(owner, name, self._faulty(getattr(owner, name), name))
            places = (f"before {name}", f"after {name}") if after else (f"before {name}",)
            self.places += [place for place in places if place not in self.places]

    def _faulty(self, real, name):
        @functools.wraps(real)
        def call(*given, **more):
            self._pass(f"before {name}")
            found = real(*given, **more)
            self._pass(f"after {name}")
            return found

        return call

    def _pass(self, place):
        if place == self._place:
            self._passages -= 1
            if not self._passages:
                self._place, self.hit = "", True
                raise self._kind(place)

    @contextmanager
    def armed(self, place, passage, kind):
        """Raise at that passage of that place."""
        self._place, self._passages, self._kind, self.hit = place, passage, kind, False
        try:
            yield
        finally:
            self._place = ""

    def everywhere(self, *, most=2):
        """Place, passage and kind of exception: every place, until a passage is not reached any more."""
        number = 0
        for place in self.places:
            for passage in range(1, most + 1):
                number += 1
                yield place, passage, KINDS[number % len(KINDS)]
                if not self.hit:
                    break
