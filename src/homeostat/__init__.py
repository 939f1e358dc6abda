"""Keeps machine-learning models at their set point: one closed loop of CI, CD and CT around a model.

Example:
    >>> from homeostat import FileSource, Loop, when
    >>> Loop(name="rides", source=FileSource("bikes.csv", time="time", target="rides"), when=when.every("7d"))
    Loop(name='rides')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.core import version
from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd import deploy as deploy
    from homeostat.ci import gates as gates
    from homeostat.ci.pipeline import Pipeline as Pipeline
    from homeostat.ci.pipeline import step as step
    from homeostat.ci.train.torch import TorchClassifier as TorchClassifier
    from homeostat.ci.train.torch import TorchRegressor as TorchRegressor
    from homeostat.connect import FileSource as FileSource
    from homeostat.connect import FrameSource as FrameSource
    from homeostat.core.errors import HomeostatError as HomeostatError
    from homeostat.core.store import Store as Store
    from homeostat.ct import how as how
    from homeostat.ct import when as when
    from homeostat.ct import where as where
    from homeostat.loop import Loop as Loop
    from homeostat.loop import load_loop as load_loop
    from homeostat.loop.embedded import load as load

__version__ = version.VERSION

__all__ = [
    "FileSource",
    "FrameSource",
    "HomeostatError",
    "Loop",
    "Pipeline",
    "Store",
    "TorchClassifier",
    "TorchRegressor",
    "deploy",
    "gates",
    "how",
    "load",
    "load_loop",
    "step",
    "when",
    "where",
]


__getattr__ = loader(
    __name__,
    {
        "cd.deploy": (".",),
        "ci.gates": (".",),
        "ci.pipeline": ("Pipeline", "step"),
        "ci.train.torch": ("TorchClassifier", "TorchRegressor"),
        "connect": ("FileSource", "FrameSource"),
        "core.errors": ("HomeostatError",),
        "core.store": ("Store",),
        "ct.how": (".",),
        "ct.when": (".",),
        "ct.where": (".",),
        "loop": ("Loop", "load_loop"),
        "loop.embedded": ("load",),
    },
)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
