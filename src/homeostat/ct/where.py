"""Where training runs: in this process, or in a child process that cannot slow the server down."""

from __future__ import annotations

import msgspec


class Local(msgspec.Struct, frozen=True, tag_field="where", tag="local"):
    """In the process that holds the loop; the server is another process already."""


class Process(msgspec.Struct, frozen=True, tag_field="where", tag="process", kw_only=True):
    """In a child process of low priority, ended when it takes too long.

    Attributes:
        niceness: How far to step back behind the server (0..19).
        timeout: The longest a run may take, as in `"2h"`.
    """

    niceness: int = 10
    timeout: str = "6h"


Place = Local | Process
