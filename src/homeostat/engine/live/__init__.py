"""The live loop: a real clock, a lease, and the processes beside it, all of which may die at any instant."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.engine.live.executors import EXECUTORS as EXECUTORS

__getattr__ = loader(__name__, {"executors": ("EXECUTORS",)})
