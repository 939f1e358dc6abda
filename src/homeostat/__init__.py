"""Keeps machine-learning models at their set point: one closed loop of CI, CD and CT around a model.

Example:
    >>> from homeostat import FileSource, Loop, when
    >>> Loop(name="rides", source=FileSource("bikes.csv", time="time", target="rides"), when=when.every("7d"))
    Loop(name='rides')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.cd import deploy as deploy
    from homeostat.ci import gates as gates
    from homeostat.ci.collect import FileSource as FileSource
    from homeostat.ci.collect import FrameSource as FrameSource
    from homeostat.ci.pipeline import Pipeline as Pipeline
    from homeostat.ci.pipeline import step as step
    from homeostat.ci.train_torch import TorchClassifier as TorchClassifier
    from homeostat.ci.train_torch import TorchRegressor as TorchRegressor
    from homeostat.core.errors import HomeostatError as HomeostatError
    from homeostat.core.store import Store as Store
    from homeostat.ct import how as how
    from homeostat.ct import when as when
    from homeostat.ct import where as where
    from homeostat.loop import Loop as Loop
    from homeostat.loop import load as load_loop
    from homeostat.loop.embedded import load as load

__version__ = "0.1.0"

_MODULES = {"deploy": "cd.deploy", "gates": "ci.gates", "how": "ct.how", "when": "ct.when", "where": "ct.where"}
_NAMES = {
    "FileSource": "ci.collect",
    "FrameSource": "ci.collect",
    "HomeostatError": "core.errors",
    "Loop": "loop",
    "Pipeline": "ci.pipeline",
    "Store": "core.store",
    "TorchClassifier": "ci.train_torch",
    "TorchRegressor": "ci.train_torch",
    "load": "loop.embedded",
    "load_loop": "loop:load",
    "step": "ci.pipeline",
}

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


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import homeostat` costs nothing."""
    if name in _MODULES:
        value: Any = import_module(f"homeostat.{_MODULES[name]}")
    elif name in _NAMES:
        module, _, other = _NAMES[name].partition(":")
        value = getattr(import_module(f"homeostat.{module}"), other or name)
    else:
        raise AttributeError(f"module 'homeostat' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
