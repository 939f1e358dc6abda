"""Whose code it is: the project's, which is followed, or an installed package's, which is a name and a version."""

from __future__ import annotations

import functools
import hashlib
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from homeostat.core.model.own_code import lasting

_HERE = Path(__file__).parents[2]
_INSTALLED = ("site-packages", "dist-packages")


def package_of(module: str, filename: str | None = None) -> tuple[str, str] | None:
    """The installed package (name, version) that a module belongs to, or None when it is the project's own.

    The standard library is the package `python`. Homeostat's own modules count as installed, except its demos, which
    play the part of a user's project.
    """
    top = module.partition(".")[0]
    if module.startswith("homeostat.demo"):
        return None
    if top == "homeostat":
        return "homeostat", _homeostat()
    if top in sys.stdlib_module_names and top != "__main__":
        return "python", f"{sys.version_info.major}.{sys.version_info.minor}"
    place = filename or _file_of(top)
    if place is None or any(part in _INSTALLED for part in Path(place).parts):
        # A module without any file is an extension or was made at run time; `__main__` may have none either.
        return None if top == "__main__" or (place is None and top not in _distributions()) else (top, _version(top))
    return None


def module_name(module: str) -> str:
    """A module's name that depends neither on where its file lies nor on whether it was run or imported."""
    if module == "__main__":
        file = getattr(sys.modules.get("__main__"), "__file__", None)
        return Path(file).stem if file else module
    return lasting(module)


@functools.cache
def _file_of(top: str) -> str | None:
    module = sys.modules.get(top)
    found = getattr(module, "__file__", None)
    if found is None and module is not None and getattr(module, "__path__", None):
        found = next(iter(module.__path__))
    if found is None and module is None:
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):
            spec = None
        found = spec.origin if spec else None
    return found


@functools.cache
def _version(top: str) -> str:
    """The version of an installed top-level module, from itself or from the metadata of its distribution."""
    stated: Any = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(stated, str):
        return stated
    for name in (top, *_distributions().get(top, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@functools.cache
def _homeostat() -> str:
    """Our version; in a source tree also a digest of the source, because there the version does not say enough."""
    try:
        version = metadata.version("homeostat")
    except metadata.PackageNotFoundError:
        version = "0"
    if any(part in _INSTALLED for part in _HERE.parts):
        return version
    digest = hashlib.sha256()
    for path in sorted(_HERE.rglob("*.py")):
        if "demo" not in path.relative_to(_HERE).parts:
            digest.update(path.read_bytes())
    return f"{version}+{digest.hexdigest()[:12]}"
