"""Packages whose public names are loaded when they are first used, so that importing one costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def loader(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562).

    Args:
        package: Its `__name__`.
        names: Module under the package to the names that are taken from it; `.` stands for the module itself, whose
            public name is the last part of its own.
    """
    homes = {
        module.rpartition(".")[2] if name == "." else name: (module, name) for module in names for name in names[module]
    }

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, inner = homes[name]
        module = import_module(f"{package}.{home}")
        value = module if inner == "." else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return load
