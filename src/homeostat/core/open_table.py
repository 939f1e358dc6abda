"""Tables of values by name that anybody adds to: policies, learners, losses, statistics of drift.

What a table holds passes one suite of laws, and no code asks which of its entries it has before it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

from homeostat.core.errors import LoopError

T = TypeVar("T")


class OpenTable(dict[str, T]):
    """Entries by name, in the order in which they were registered.

    Raises:
        LoopError: by `table[name]`, when there is no such entry.
    """

    def __init__(
        self, what: str, entries: Iterable[T] = (), *, name: Callable[[Any], str] = attrgetter("name")
    ) -> None:
        super().__init__()
        self._what, self._name = what, name
        self._ours: set[str] = set()
        for entry in entries:
            self.register(entry)

    def register(self, entry: T) -> T:
        """Add an entry; also as the decorator of a class.

        One of your own takes the place of an earlier one of its name, because a declaration may be read again.

        Raises:
            LoopError: Homeostat has an entry of that name.
        """
        name = self._name(entry)
        if name in self._ours:
            raise LoopError(f"there is a {self._what} {name!r} already", hint="give yours a name of its own")
        if str(sys._getframe(1).f_globals.get("__name__")).startswith("homeostat."):  # noqa: SLF001 - who registers it
            self._ours.add(name)
        self[name] = entry
        return entry

    def __missing__(self, name: str) -> T:
        from homeostat.core.table.spec import did_you_mean

        raise LoopError(f"there is no {self._what} {name!r}", hint=did_you_mean(str(name), self))


def tag_of(kind: Any) -> str:
    """The name of a class of values: its tag."""
    return str(kind.__struct_config__.tag)
