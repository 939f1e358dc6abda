"""What the code beside a declaration is called: one name in the process that runs it, another in what is kept.

A `loop.py` is imported under a name that its place gives it, so that two projects of one process never meet. A name
that is stored must not depend on the place: there the file is called `__loop__`, and whoever loads a model says, by the
classes that it vouches for, which file that is.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

STORED = "__loop__"
_HERE = "_homeostat_loop_"
_ANY = re.compile(rf"\b{_HERE}[0-9a-f]{{12}}\b")
_aliasing = threading.RLock()


def module_here(file: Path) -> str:
    """The name under which a declaration is imported in this process."""
    return _HERE + hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]


def lasting(text: str) -> str:
    """A text in which declarations have the name that they are stored by.

    Example:
        >>> lasting("_homeostat_loop_0123456789ab.helpers.Mine")
        '__loop__.helpers.Mine'
    """
    return _ANY.sub(STORED, text)


class TrustedTypes(frozenset[str]):
    """Classes that a declaration vouches for, by their names in this process; a fingerprint sees the lasting ones."""

    def __fingerprint__(self) -> tuple[str, ...]:
        return tuple(sorted(map(lasting, self)))


@contextmanager
def found_at_home(names: Collection[str]) -> Iterator[frozenset[str]]:
    """For a while, let the stored names of classes be importable.

    Yields:
        All names by which these classes may be asked for.
    """
    modules = {name.rpartition(".")[0] for name in names}
    with _aliasing:
        aliases = {
            lasting(name): sys.modules[name] for name in modules if lasting(name) != name and name in sys.modules
        }
        sys.modules.update(aliases)
        try:
            yield frozenset({*names, *map(lasting, names)})
        finally:
            for name in aliases:
                sys.modules.pop(name, None)
