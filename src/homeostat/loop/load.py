"""From a file to the Loop that it declares."""

from __future__ import annotations

import hashlib
import sys
from importlib import util
from pathlib import Path
from typing import Any

from homeostat.core.errors import HomeostatError, LoopError, NotFoundError, blamed
from homeostat.loop.declaration import Loop

FILE = "loop.py"


def load(path: Path | str = FILE) -> Loop:
    """The Loop that a file declares; relative patterns of its source are relative to the file's folder.

    Args:
        path: A Python file with exactly one `Loop`, or a folder with a `loop.py`.

    Raises:
        NotFoundError: there is no such file.
        LoopError: the file does not import, or declares no Loop or several.
    """
    file = Path(path)
    file = file / FILE if file.is_dir() else file
    if not file.is_file():
        raise NotFoundError(f"there is no {file}", hint="`homeostat init TABLE --target COLUMN` writes one")
    loops = {id(value): value for value in vars(_run(file)).values() if isinstance(value, Loop)}
    if len(loops) != 1:
        names = ", ".join(loop.name for loop in loops.values())
        what = f"{file} declares {f'{len(loops)} loops ({names})' if loops else 'no Loop'}"
        raise LoopError(what, hint="a file declares one: loop = Loop(name=..., source=...)")
    (loop,) = loops.values()
    loop.file = file.resolve()
    # So that the loop means the same files from whichever folder a command is given.
    if callable(seen_from := getattr(loop.source, "seen_from", None)):
        seen_from(loop.file.parent)
    return loop


def _run(file: Path) -> Any:
    """Import the file as a module of its own, with its folder importable as a script's would be."""
    name = f"_homeostat_loop_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    spec = util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoopError(f"{file} is not a Python file", hint="its name ends in .py")
    module = util.module_from_spec(spec)
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _told(error, file) from error
    return module


def _told(error: BaseException, file: Path) -> HomeostatError:
    """The error with the line that it comes from."""
    where = blamed(error) or str(file)
    if isinstance(error, HomeostatError):
        return type(error)(f"{where}: {error.what}", hint=error.hint)
    said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    hint = f"mend that line; `python {file}` shows more"
    if isinstance(error, ModuleNotFoundError):
        hint = f"install {(error.name or '').partition('.')[0]!r} into this environment, or mend its name"
    return LoopError(f"{where}: the declaration does not import: {type(error).__name__}: {said}", hint=hint)
