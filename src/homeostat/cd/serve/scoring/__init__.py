"""From decoded rows to recorded answers: which version scores them, in which batch, and what comes out."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.serve.scoring.version import LoadedVersion as LoadedVersion

__getattr__ = loader(__name__, {"version": ("LoadedVersion",)})
