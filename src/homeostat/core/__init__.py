"""What every part of the house stands on: the ledger, artifacts, tables, models, metrics, profiles, time and errors."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.core.artifacts import ArtifactStore as ArtifactStore
    from homeostat.core.clock import SystemClock as SystemClock
    from homeostat.core.errors import DataError as DataError
    from homeostat.core.errors import ModelError as ModelError
    from homeostat.core.store import Store as Store

__getattr__ = loader(
    __name__,
    {
        "artifacts": ("ArtifactStore",),
        "clock": ("SystemClock",),
        "errors": ("DataError", "ModelError"),
        "store": ("Store",),
    },
)
