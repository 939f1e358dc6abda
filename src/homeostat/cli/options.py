"""What the verbs share: their options, and how they find the store, the loop and its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.core.errors import LoopError, NotFoundError, UserError

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger
    from homeostat.core.store import Store
    from homeostat.loop import Loop

LOOP_FILE = "loop.py"
STORE = Path(".homeostat")

LoopOption = Annotated[
    str | None,
    typer.Option(
        "--loop", "-l", metavar="PATH", help="The loop's file, ./loop.py by default; or its name in the store."
    ),
]
FileOption = Annotated[
    str | None, typer.Option("--loop", "-l", metavar="PATH", help="The loop's file, ./loop.py by default.")
]


def _store(given: str) -> Path:
    """The folder of a store, which may be given by its URL."""
    if "://" not in str(given):
        return Path(given)
    from homeostat.loop.open import store_folder

    return store_folder(given)


StoreOption = Annotated[
    Path, typer.Option("--store", "-s", parser=_store, metavar="PATH", help="The folder that holds everything.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", help="The version.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def recorded_text(option: typer.CallbackParam, given: str | None) -> str | None:
    """What a person gave for the record: who and why are facts, so nothing but blanks is refused."""
    if given is not None and not given.isascii() and given.encode(errors="replace").decode() != given:
        raise UserError(f"--{option.name} is no text: {given!r:.80}", hint="write it in UTF-8")
    if given is not None and not given.strip():
        raise UserError(f"--{option.name} is blank", hint=f"it is recorded with the request: --{option.name} TEXT")
    return given and given.strip()


ReasonOption = Annotated[str, typer.Option("--reason", "-r", callback=recorded_text, help="Why; it is recorded.")]
UserOption = Annotated[
    str | None, typer.Option("--user", "-u", callback=recorded_text, help="Who asks; your login name by default.")
]


def open_ledger(store: Path) -> Ledger:
    """The ledger of an existing store."""
    from homeostat.core.store import Store

    return Store.open(store, create=False).ledger


def open_named(store: Path, loop: str | None) -> tuple[Store, str]:
    """An existing store, and the name of the loop that is meant."""
    from homeostat.core.store import Store

    opened = Store.open(store, create=False)
    return opened, loop_name(opened.ledger, loop)


def open_loop(store: Path, loop: str | None, *, create: bool = False) -> tuple[Store, Loop]:
    """A store and the declaration of a loop; the store is made where that is allowed."""
    from homeostat.core.store import Store
    from homeostat.loop import load_loop

    declared = load_loop(loop_file(loop))
    return Store.open(store, create=create), declared


def loop_name(ledger: Ledger, wanted: str | None) -> str:
    """The name of the loop that is meant: the one named, the one declared in a file, or the only one of the store.

    Raises:
        NotFoundError: The store has no such loop, or several and none was named.
    """
    names = ledger.loops()
    if wanted in names:
        return str(wanted)
    if wanted is None and len(names) == 1:
        return names[0]
    file = Path(wanted or LOOP_FILE)
    if file.is_file():
        from homeostat.loop import load_loop

        return load_loop(file).name
    have = ", ".join(names) or "none yet"
    if wanted is not None:
        raise NotFoundError(f"{wanted!r} is neither a file nor a loop of this store", hint=f"loops: {have}")
    if not names:
        raise NotFoundError("nothing has happened in this store yet", hint="`homeostat run` is the first step")
    raise NotFoundError("this store holds several loops", hint=f"choose one with --loop: {have}")


def loop_file(wanted: str | None) -> Path:
    """The file of the loop's declaration."""
    file = Path(wanted or LOOP_FILE)
    file = file / LOOP_FILE if file.is_dir() else file
    if not file.is_file():
        raise LoopError(
            f"there is no file {file}", hint="`homeostat init TABLE --target COLUMN` writes one; or --loop PATH"
        )
    return file


def who(user: str | None) -> str:
    """The name to record for a person's request."""
    if user:
        return user
    import getpass

    try:
        return getpass.getuser().strip() or "unknown"
    except (OSError, KeyError, ImportError):
        return "unknown"
