"""What a run stands on: versions of Homeostat, Python, the installed packages and the code's git commit."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from homeostat.core.events import RunContext

_GIT_SECONDS = 10


def current_environment() -> RunContext:
    """The environment of this process; read once for each working directory, whose git commit is part of it.

    Example:
        >>> current_environment().python.startswith("3.")
        True
    """
    return _environment(str(Path.cwd()))


@functools.cache
def _environment(folder: str) -> RunContext:
    return RunContext(
        homeostat=homeostat_version(),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_packages(),
        commit=_commit(Path(folder)),
    )


@functools.cache
def homeostat_version() -> str:
    """The installed version of Homeostat."""
    try:
        return metadata.version("homeostat")
    except metadata.PackageNotFoundError:
        return "uninstalled"


@functools.cache
def _packages() -> str:
    """The digest of the installed packages, read off the names of their metadata folders, which are `name-version`."""
    found: set[str] = set()
    for entry in sys.path:
        folder = Path(entry or ".")
        if folder.is_dir():
            found.update(
                item.name.rpartition(".")[0].replace("-", "==", 1)
                for item in folder.iterdir()
                if item.suffix in (".dist-info", ".egg-info")
            )
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def _commit(folder: Path) -> str:
    repository = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)
    if repository is None:
        return "none"
    try:
        commit = _head(repository / ".git")
    except (OSError, ValueError):
        return "none"
    return commit + _dirty(repository) if commit else "none"


def _head(git: Path) -> str:
    """The commit that is checked out, read without starting git; empty before the first commit."""
    if git.is_file():  # a worktree or submodule: the file says where its folder is
        git = (git.parent / git.read_text().removeprefix("gitdir:").strip()).resolve()
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    common = git
    if (git / "commondir").exists():
        common = (git / (git / "commondir").read_text().strip()).resolve()
    for place in (git / name, common / name):
        if place.exists():
            return place.read_text().strip()
    packed = common / "packed-refs"
    lines = packed.read_text().splitlines() if packed.exists() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")


def _dirty(repository: Path) -> str:
    """`+dirty` when files differ from the commit; `+unchecked` when git cannot be asked."""
    command = ["git", "-C", str(repository), "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_GIT_SECONDS)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "+unchecked"
    return "+dirty" if done.stdout.strip() else ""
