"""From a file to the Loop that it declares."""

from __future__ import annotations

import ast
import sys
from importlib import util
from pathlib import Path
from typing import Any

from homeostat.core.errors import HomeostatError, LoopError, NotFoundError, blamed
from homeostat.core.model.own_code import module_here
from homeostat.loop.declaration import Loop

FILE = "loop.py"


def load_loop(path: Path | str = FILE) -> Loop:
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
    """Import the file as a module of its own, with its folder importable as a script's would be.

    It is a package too, so that `from .helpers import clean` means the file beside it and no other of that name.
    """
    name, folder = module_here(file), str(file.resolve().parent)
    spec = util.spec_from_file_location(name, file, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise LoopError(f"{file} is not a Python file", hint="its name ends in .py")
    module = util.module_from_spec(spec)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    _forget(name)
    sys.modules[name] = module
    try:
        _refuse_strangers(file)
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        _forget(name)
        raise _told(error, file) from error
    return module


def _forget(name: str) -> None:
    """Take a declaration, and what it imported from beside itself, out of the process."""
    for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        del sys.modules[known]


def _refuse_strangers(file: Path) -> None:
    """Refuse `import helpers` where the process has imported another `helpers`: it would be taken without a word."""
    folder = file.resolve().parent
    for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for top in (one.partition(".")[0] for one in named):
            beside = next((one for one in (folder / f"{top}.py", folder / top / "__init__.py") if one.is_file()), None)
            there = getattr(sys.modules.get(top), "__file__", None)
            if beside is not None and there is not None and Path(there).resolve() != beside:
                what = f"{file} imports {top}, and this process has imported another {top}: {there}"
                raise LoopError(what, hint=f"write `from .{top} import ...`, which always means the one beside it")


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
