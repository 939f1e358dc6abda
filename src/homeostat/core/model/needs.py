"""What a model needs to run, and what the place that it is meant for has: compared before it is deployed there."""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.errors import LoopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from homeostat.core.model import Manifest

_EVERY = ("msgspec", "numpy", "polars")
_RUNTIMES = {
    "onnx": ("onnxruntime",),
    "skops": ("scikit-learn", "scipy", "skops"),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "lightgbm": ("lightgbm",),
}
_ON_DEVICE = re.compile(r"'?(cuda|gpu|mps|rocm|xpu)\b")
_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's runtime uses.

    Attributes:
        packages: Installed packages with the versions that the model was made with.
        platform: System and processor that it was made on; a model runs on others too.
        memory: Bytes of a server that has it loaded and is answering, measured before it got traffic; None when that
            was not measured.
        accelerator: `cuda`, `mps`, ... when the estimator was told to use one; None for a processor alone.
    """

    packages: dict[str, str] = {}
    python: str = ""
    platform: str = ""
    memory: int | None = None
    accelerator: str | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model is to run. What is left out is taken from this machine.

    Attributes:
        packages: Package to version, as they are installed there; `{}` is a machine without any.
        python: Its Python, as in `"3.12"`.
        memory: What a server may take there, as in `"150MB"` or `"2GiB"`.
        accelerator: `cuda`, `mps`, ...; `none` for a machine without one.

    Example:
        >>> Target(memory="150MB").most_memory
        150000000
    """

    packages: dict[str, str] | None = None
    python: str | None = None
    memory: str | None = None
    accelerator: str | None = None

    def __post_init__(self) -> None:
        """Refuse a description that says nothing clear."""
        if self.memory is not None:
            _bytes_of(self.memory)

    @property
    def most_memory(self) -> int | None:
        """Bytes that a server may take; this machine's memory when nothing is declared and it can be found out."""
        return _bytes_of(self.memory) if self.memory is not None else machine_memory()

    def version_of(self, package: str) -> str | None:
        """The version of a package there; None when it is absent."""
        return installed(package) if self.packages is None else self.packages.get(package)

    def misfits(self, needs: Needs) -> list[str]:
        """Everything that a model needs and this place does not have, with the numbers; empty when it fits."""
        problems = []
        for package, made_with in sorted(needs.packages.items()):
            there = self.version_of(package)
            if there is None:
                problems.append(f"package {package} {made_with} is needed and absent")
            elif said := _unlike(made_with, there):
                problems.append(f"package {package} {made_with} is needed and {there} is there, {said}")
        python = self.python or platform.python_version()
        if needs.python and (said := _unlike(needs.python, python)):
            problems.append(f"Python {needs.python} is needed and {python} is there, {said}")
        most = self.most_memory
        if needs.memory is not None and most is not None and needs.memory > most:
            problems.append(f"{shown_bytes(needs.memory)} of memory are needed and {shown_bytes(most)} are there")
        have = accelerator_here() if self.accelerator is None else self.accelerator
        if needs.accelerator is not None and needs.accelerator != have:
            problems.append(f"the accelerator {needs.accelerator} is needed and {have or 'none'} is there")
        return problems

    def numbers(self, needs: Needs) -> dict[str, Any]:
        """Needed and there, side by side, for the ledger."""
        packages = {package: [version, self.version_of(package)] for package, version in needs.packages.items()}
        python = self.python or platform.python_version()
        have = accelerator_here() if self.accelerator is None else self.accelerator
        return {
            "packages": packages,
            "python": [needs.python, python],
            "memory": [needs.memory, self.most_memory],
            "accelerator": [needs.accelerator, have],
        }


def needs_of(manifest: Manifest, features: Callable[..., Any] | None = None, *, memory: int | None = None) -> Needs:
    """What a model's runtime uses, in the versions that are installed here.

    Args:
        manifest: The model's.
        features: Its `features()`; the packages that its code reaches are needed too.
        memory: Bytes of a server that has it loaded, when that was measured.
    """
    blob, params = manifest.blob, manifest.estimator.params
    wanted = {*_EVERY, *_RUNTIMES.get(blob.runtime, ())}
    if blob.runtime == "skops":
        wanted |= _distributions_of([manifest.estimator.kind, *blob.trusted])
    if features is not None:
        from homeostat.core.fingerprint import code_fingerprint

        mark = "package:"
        reached = code_fingerprint(features)[1]
        wanted |= _distributions_of(name.removeprefix(mark) for name in reached if name.startswith(mark))
    versions = {name: version for name in sorted(wanted) if (version := installed(name)) is not None}
    told = [value for name, value in params.items() if name.rpartition("__")[2] in ("device", "device_type")]
    found = [match[1] for value in told if (match := _ON_DEVICE.match(value))] if blob.runtime != "onnx" else []
    accelerator = {"gpu": "cuda"}.get(found[0], found[0]) if found else None
    place = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    return Needs(packages=versions, memory=memory, accelerator=accelerator, **place)


@cache
def installed(package: str) -> str | None:
    """The installed version of a package by its name in the registry of packages; None when it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def machine_memory() -> int | None:
    """Bytes of memory of this machine, or of the container that this process may use; None when nobody says."""
    try:
        own = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return own
    return min(own, limit)


@cache
def accelerator_here() -> str | None:
    """The accelerator of this machine, by the device files that its driver makes; None without one."""
    for name, file in (("cuda", "/dev/nvidia0"), ("rocm", "/dev/kfd")):
        if Path(file).exists():
            return name
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else None


def memory_of(pid: int) -> int | None:
    """Most bytes of memory that a running process has held; None where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else None


def shown_bytes(count: int) -> str:
    """A number of bytes for people.

    Example:
        >>> shown_bytes(150_000_000)
        '150.0 MB'
    """
    if count >= 10**10:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:,.1f} MB" if count >= 10**6 else f"{count / 1e3:,.1f} kB"


def _bytes_of(text: str) -> int:
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kKMG]?i?B)\s*", text)
    if found is None or found[2] not in _UNITS:
        raise LoopError(f"{text!r} is no amount of memory", hint="write a number and MB or GB, as in '150MB'")
    return int(float(found[1]) * _UNITS[found[2]])


def _distributions_of(modules: Iterable[str]) -> set[str]:
    """The installed packages that modules, or classes written with their module, come from."""
    known = _packages()
    return {name for module in modules for name in known.get(module.partition(".")[0], ())[:1]}


@cache
def _packages() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _unlike(made_with: str, there: str) -> str | None:
    """Why another version may not do: older than the one it was made with, or a major version ahead.

    Example:
        >>> _unlike("1.23.2", "1.22.0"), _unlike("1.23.2", "1.23.0"), _unlike("1.23.2", "2.0")
        ('which is older', None, 'which is another major version')
    """
    need, have = _numbers(made_with), _numbers(there)
    if not need or not have:
        return None
    if have[0] > need[0]:
        return "which is another major version"
    return "which is older" if have[:2] < need[:2] else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
