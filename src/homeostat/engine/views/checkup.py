"""The checks of `homeostat doctor`: machine, packages, store and loop, each with what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from homeostat.core.claims import in_charge, is_dead
from homeostat.core.clock import SystemClock
from homeostat.core.errors import HomeostatError

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger
    from homeostat.engine.views.integrity import Progress

State = Literal["ok", "warn", "fail"]
_LOW_BYTES, _NO_BYTES = 2_000_000_000, 200_000_000
_OLDEST_PYTHON = (3, 11)
_SUPPORTED_PROTOBUF = 6


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found, and what to do."""

    name: str
    state: State
    found: str
    todo: str | None = None


def checkup(store: Path, loop: Path, progress: Progress | None = None) -> Iterator[Check]:
    """Every check, in order; one that breaks is a failed check."""
    yield from _guarded("python", _python)
    yield from _guarded("database", _database)
    yield from _guarded("packages", _packages)
    yield from _guarded("disk", lambda: _disk(store))
    yield from _guarded("store", lambda: _store(store, progress))
    yield from _guarded("loop", lambda: _loop(loop))


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except HomeostatError as error:
        yield Check(name=name, state="fail", found=error.what, todo=error.hint)
    except Exception as error:  # noqa: BLE001 - a doctor does not die of what it finds
        yield Check(name=name, state="fail", found=f"{type(error).__name__}: {error}", todo="this check itself broke")


def _python() -> Iterator[Check]:
    found = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform(terse=True)}"
    fine = sys.version_info >= _OLDEST_PYTHON
    yield Check(name="python", state="ok" if fine else "fail", found=found, todo=None if fine else "use 3.11 or newer")
    cores = os.cpu_count() or 1
    todo = None if cores > 1 else "training will slow the server down: use where.Process() and a second core"
    yield Check(name="cores", state="ok" if cores > 1 else "warn", found=str(cores), todo=todo)


def _database() -> Iterator[Check]:
    from homeostat.core.ledger.local import local_database

    yield Check(name="database", state="ok", found=local_database(":memory:").about())


def _packages() -> Iterator[Check]:
    wanted = [line.partition(";")[0] for line in metadata.requires("homeostat") or () if "extra ==" not in line]
    names = sorted({"".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0] for line in wanted})
    missing = []
    for name in names:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Check(name="packages", state="fail", found=f"missing: {', '.join(missing)}", todo="pip install homeostat")
    else:
        yield Check(name="packages", state="ok", found=f"all {len(names)} dependencies are installed")
    if "protobuf" not in missing and int(metadata.version("protobuf").partition(".")[0]) > _SUPPORTED_PROTOBUF:
        found = f"protobuf {metadata.version('protobuf')} breaks the conversion of gradient boosting to ONNX"
        yield Check(name="protobuf", state="fail", found=found, todo="pip install 'protobuf<7'")


def _disk(store: Path) -> Iterator[Check]:
    folder = next(parent for parent in (store.absolute(), *store.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    state: State = "fail" if free < _NO_BYTES else "warn" if free < _LOW_BYTES else "ok"
    todo = None if state == "ok" else "free some space, or choose another disk with --store"
    yield Check(name="disk", state=state, found=f"{free / 1e9:.1f} GB free at {folder}", todo=todo)


def _store(store: Path, progress: Progress | None) -> Iterator[Check]:
    from homeostat.core.ledger.local import FILE

    if not (store / FILE).is_file():
        yield Check(name="store", state="warn", found=f"none at {store} yet", todo="`homeostat run` makes one")
        return
    from homeostat.core.store import Store
    from homeostat.engine.views.integrity import verify_store

    Store.open(store, create=False).close()
    yield Check(name="store", state="ok", found=f"{store} is writable")
    whole = verify_store(store, progress)
    found = f"{whole.events:,} events and {whole.artifacts:,} artifacts are what was written"
    yield Check(name="integrity", state="ok", found=found)
    ledger = Store.open(store, create=False).ledger
    yield from _leases(ledger)
    yield from _orphans(ledger)


def _leases(ledger: Ledger) -> Iterator[Check]:
    for loop in ledger.loops():
        owner = ledger.lease_holder(f"engine/{loop}", now=SystemClock().now())
        if owner is None:
            continue
        dead = is_dead(owner)
        found = (
            f"loop {loop} is in the charge of {owner}, {'which is not running any more' if dead else 'which is alive'}"
        )
        todo = "start `homeostat up` again: it takes over from a dead process" if dead else None
        yield Check(name="lock", state="warn" if dead else "ok", found=found, todo=todo)


def _orphans(ledger: Ledger) -> Iterator[Check]:
    for loop in ledger.loops():
        held = in_charge(ledger, loop) is not None
        running = [row for row in ledger.runs(loop) if row.status == "running"]
        for row in running if not held else []:
            found = f"run {row.run} of {loop} began at {row.started:%Y-%m-%d %H:%M} and never ended"
            todo = f"if nothing works on it any more: homeostat run --resume {row.run}"
            yield Check(name="run", state="warn", found=found, todo=todo)


def _loop(file: Path) -> Iterator[Check]:
    if not file.is_file():
        todo = "`homeostat init TABLE --target COLUMN` writes one"
        yield Check(name="loop", state="warn", found=f"there is no {file}", todo=todo)
        return
    from homeostat.loop import load_loop

    yield Check(name="loop", state="ok", found=f"{file} declares {load_loop(file).name!r} and holds together")
