"""What is computed of rows and predictions: metrics, profiles, drift, leaks, latency, and how a stream does."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.core.stats.profile import Profile as Profile

__getattr__ = loader(__name__, {"profile": ("Profile",)})
