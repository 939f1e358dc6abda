"""The names of loops and runs, checked in one place for every way in: they become folders, files, addresses and text.

A declaration, an option, an imported version, an event of whatever origin, a file of the server: what names a loop
comes through here, so that no name leads out of the store, hides in a page, or means another file on another system.
"""

from __future__ import annotations

import re

from homeostat.core.errors import UserError

_LOOP = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RUN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_DEVICES = frozenset(
    {"aux", "con", "nul", "prn", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)
"""Names that stand for no file on Windows, whatever folder they are in."""

LOOP_RULE = "a-z, 0-9 and '-', beginning and ending with a letter or digit, 1 to 63 of them"


def loop_name_problem(name: object) -> str | None:
    """What is wrong with the name of a loop, or None.

    Example:
        >>> loop_name_problem("rides"), loop_name_problem("../rides")
        (None, "'../rides' is no name of a loop")
    """
    if not isinstance(name, str) or not _LOOP.fullmatch(name):
        return f"{_shown(name)} is no name of a loop"
    return f"{name!r} is a device on Windows and no name of a loop" if name in _DEVICES else None


def check_loop_name(name: object) -> str:
    """The name of a loop, which is one."""
    problem = loop_name_problem(name)
    if problem is not None:
        raise UserError(problem, hint=f"a name is made of {LOOP_RULE}")
    return str(name)


def check_run_name(name: object) -> str:
    """The name of a run, which is one: it names a journal and a report."""
    if not isinstance(name, str) or not _RUN.fullmatch(name) or ".." in name:
        raise UserError(f"{_shown(name)} is no name of a run", hint="`homeostat runs` lists them")
    return name


def _shown(name: object) -> str:
    return ascii(name if not isinstance(name, str) or len(name) <= 80 else f"{name[:80]}...")
