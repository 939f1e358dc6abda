"""The files that a declaration means: a file, a folder's, or a pattern's matches, whatever letters are in them."""

from __future__ import annotations

import os
import stat
from glob import escape, glob, has_magic
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.guarded import refusing
from homeostat.core.table.spec import did_you_mean

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Found(NamedTuple):
    """A file or a Delta table that a pattern means.

    Attributes:
        folders: Keys and values of the folders called `key=value` that it lies in, below the pattern's own folder.
    """

    path: Path
    folders: tuple[tuple[str, str | None], ...] = ()


def find(
    pattern: str, suffixes: tuple[str, ...], *, partitions: bool | None = None, tables: bool = False
) -> list[Found]:
    """What a pattern means now, in the order of the names.

    A file or folder that is really called so wins over a pattern. Of a folder, its files whose names end in one of the
    suffixes, without its subfolders and without hidden and temporary files.

    Args:
        pattern: A file, a folder, or a pattern with `*`, `?`, `[...]` or `**`.
        suffixes: How the names of files end, in lower case.
        partitions: Whether folders called `key=value` below the pattern are columns; None refuses them.
        tables: Whether Delta tables are meant too.

    Raises:
        NotFoundError: There is nothing of that name, or nothing in it.
        DataError: It is something that cannot be read as a file.
    """
    with refusing(pattern):
        found = _found(pattern, suffixes, tables=tables)
    for one in found:
        if one.folders and partitions is None:
            names = " and ".join(repr(key) for key, _ in one.folders)
            raise DataError(
                f"{one.path} lies in folders that tell {names}, and nothing says whether these are columns",
                hint="FileSource(..., partitions=True) makes columns of them; partitions=False leaves them out",
            )
    return [one if partitions else Found(one.path) for one in sorted(found)]


def _found(pattern: str, suffixes: tuple[str, ...], *, tables: bool) -> list[Found]:
    path, noun = Path(pattern), "table" if tables else "data files"
    if path.is_dir():
        if (path / "_delta_log").is_dir():
            return [_delta(path, tables=tables)]
        inside = [one for one in path.iterdir() if _is_meant(one, suffixes)]
        if not inside:
            raise NotFoundError(f"the folder {pattern!r} holds no {noun}", hint=_elsewhere(path, suffixes))
        return [Found(one) for one in inside]
    if os.path.lexists(path):
        if not _is_meant(path, suffixes, named=True):
            hint = f"{'tables' if tables else 'data files'} end in {', '.join(suffixes)}"
            raise DataError(f"{pattern!r} is no {noun.removesuffix('s')} that can be read", hint=hint)
        return [Found(path)]
    if has_magic(pattern):
        root, rest = _literal_root(path)
        matches = map(Path, glob(str(Path(escape(str(root))) / rest), recursive=True))  # noqa: PTH207 - absolute too
        found = []
        for one in matches:
            if tables and (one / "_delta_log").is_dir():
                found.append(Found(one))
            elif _is_meant(one, suffixes):
                found.append(Found(one, _folders(one.relative_to(root).parts[:-1])))
        if not found:
            what = f"no {noun.removesuffix('s')} matches {pattern!r}"
            raise NotFoundError(what, hint=f"seen from {Path.cwd()}; or give a folder")
        return found
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    if beside:
        near = did_you_mean(path.name, beside)
    elif path.parent.is_dir():
        near = f"the folder {str(path.parent.resolve())!r} is empty"
    else:
        near = f"there is no folder {str(path.parent)!r} either"
    raise NotFoundError(f"there is no {'table' if tables else 'file'} {pattern!r}", hint=near)


def _delta(path: Path, *, tables: bool) -> Found:
    if not tables:
        raise DataError(
            f"{path} is a Delta table, whose files are not all of its rows, or more than them",
            hint="FrameSource(pl.read_delta(...)) reads it as it is",
        )
    return Found(path)


def _is_meant(path: Path, suffixes: tuple[str, ...], *, named: bool = False) -> bool:
    """Whether a file is to be read; what only looks like one is refused, because it would be missed without a word.

    A file that was named itself may be hidden.
    """
    name = path.name
    if not name.lower().endswith(suffixes) or (not named and name.startswith((".", "~$"))) or path.is_dir():
        return False
    try:
        os.fsencode(name).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the name of the file {name!r} is no UTF-8", hint="rename it") from error
    if not path.exists():
        if path.is_symlink():
            raise DataError(f"{path} is a link to nothing", hint="delete it, or bring back what it links to")
        return False
    with refusing(str(path)):
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is no regular file", hint="delete it, or rename it; pipes and devices are not read")
    return True


def _literal_root(pattern: Path) -> tuple[Path, str]:
    """The folders that a pattern begins with and that are really there, and the rest, which is a pattern."""
    root, parts = Path(pattern.anchor), list(pattern.parts[1 if pattern.anchor else 0 :])
    while len(parts) > 1 and parts[0] != "**" and (root / parts[0]).is_dir():
        root /= parts.pop(0)
    return root, str(Path(*parts))


def _folders(parts: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    pairs = [part.partition("=") for part in parts]
    return tuple((unquote(k), None if v == _NO_VALUE else unquote(v)) for k, equals, v in pairs if equals and k)


def _elsewhere(folder: Path, suffixes: tuple[str, ...]) -> str:
    below = next((one for one in folder.rglob("*") if one.name.lower().endswith(suffixes) and one.is_file()), None)
    if below is None:
        return f"they end in {', '.join(suffixes)}"
    return f"those of its subfolders are meant by {str(folder / '**' / ('*' + below.suffix))!r}"
