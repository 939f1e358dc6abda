"""From a file to the Loop that it declares."""

from __future__ import annotations

import hashlib
import sys
import traceback
from importlib import util
from pathlib import Path
from typing import Any

from homeostat.core.errors import HomeostatError, LoopError, NotFoundError
from homeostat.loop.declaration import Loop

FILE = "loop.py"


def load(path: Path | str = FILE) -> Loop:
    """The Loop that a file declares.

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
    return loop


def _run(file: Path) -> Any:
    """Import the file as a module of its own, with its folder importable as a script's would be."""
    name = f"_homeostat_loop_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    spec = util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoopError(f"{file} is not a Python file")
    module = util.module_from_spec(spec)
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except HomeostatError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        line = getattr(error, "lineno", None) or (own[-1].lineno if own else None)
        where = f"{file}, line {line}" if line else str(file)
        what = f"{where}: {type(error).__name__}: {error}"
        raise LoopError(f"the declaration does not import: {what}", hint="run it with python to see more") from error
    return module
