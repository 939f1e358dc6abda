"""An imported version whose binding gates ran nowhere but where it comes from: it waits, and is no champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.core.events import GateResult

UNPROVEN = "unproven"
"""The gate that refuses such a version."""

REASON = "was imported, and its binding gates ran nowhere but where it comes from"
HINT = (
    "import it again with --loop FILE where this store holds rows of the loop, and they run here; or with "
    "--vouch REASON, if you know who made it"
)


def is_unproven(gates: Sequence[GateResult]) -> bool:
    """Whether nothing else refuses a version."""
    return [gate.gate for gate in gates if not gate.passed] == [UNPROVEN]
