"""A version on its way between registries: a folder with everything of it, and nothing else.

`manifest.json` says what the model is, and its SHA-256 is the model's name; `model.bin` is the stored model;
`version.json` is its registration: trigger, metrics, gates, window.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.deploy import Immediately
from homeostat.ci.rehearsed import compatible
from homeostat.core import events as ev
from homeostat.core.clock import new_id
from homeostat.core.errors import IntegrityError, ModelError, NotFoundError, RefusedError, StoreError
from homeostat.core.model import Bundle, Manifest
from homeostat.core.model.inspect import MOST_BYTES, MOST_MANIFEST_BYTES
from homeostat.core.needs import Target, needs_of
from homeostat.ct.when import never
from homeostat.engine.feed import Feed
from homeostat.engine.rehearse import check_contract
from homeostat.engine.state import Rules

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from homeostat.core.model import Features
    from homeostat.core.store import Store

FORMAT = 1
MANIFEST, MODEL, VERSION = "manifest.json", "model.bin", "version.json"
_PARTS = {MANIFEST: MOST_MANIFEST_BYTES, MODEL: MOST_BYTES, VERSION: MOST_MANIFEST_BYTES}


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `version.json`.

    Attributes:
        format: Version of this format.
        registered: The version as it stands in the registry that it comes from.
    """

    format: int = FORMAT
    registered: ev.VersionRegistered


class _Format(msgspec.Struct):
    format: int


def export(store: Store, loop: str, version: int, folder: Path) -> None:
    """Write a version into a new folder, which appears whole or not at all.

    Args:
        store: The registry that holds it.
        loop: Name of the Loop.
        version: Which.
        folder: Where to; it must not be there, or be empty.

    Raises:
        NotFoundError: There is no such version.
        IntegrityError: Its bundle is not whole.
        RefusedError: The folder holds something.
        StoreError: It cannot be written.
    """
    row = store.ledger.version(loop, version)
    registered = store.ledger.event(row.seq).event
    bundle = Bundle.read(store.artifacts, row.manifest)
    if not isinstance(registered, ev.VersionRegistered):
        raise NotFoundError(f"version {version} has no registration in the ledger", hint="`homeostat verify` checks it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RefusedError(f"{folder} is there already", hint="name a new folder")
    aside = folder.with_name(f".{folder.name}.{new_id()}")
    try:
        aside.mkdir(parents=True)
        (aside / MANIFEST).write_bytes(bundle.manifest.to_json())
        (aside / MODEL).write_bytes(bundle.data)
        (aside / VERSION).write_bytes(msgspec.json.encode(Exported(registered=registered), order="sorted"))
        aside.replace(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_exported(folder: Path) -> tuple[Bundle, ev.VersionRegistered]:
    """The bundle and the registration in an exported folder, verified.

    Raises:
        NotFoundError: There is no such folder.
        IntegrityError: A part is missing, changed, larger than it may be, or there is more than these.
        ModelError: It is of a newer format, or no export at all.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", hint="`homeostat export VERSION FOLDER` writes one")
    there = {item.name for item in folder.iterdir()}
    problems = [f"{name} is missing" for name in sorted(_PARTS.keys() - there)]
    problems += [f"{name} is no part of it" for name in sorted(there - _PARTS.keys())]
    for name, most in _PARTS.items():
        part = folder / name
        if name in there and (part.is_symlink() or not part.is_file()):
            problems.append(f"{name} is no file")
        elif name in there and part.stat().st_size > most:
            problems.append(f"{name} has {part.stat().st_size:,} bytes; {most:,} are the most")
    if problems:
        raise IntegrityError(f"{folder} is no whole export: {'; '.join(problems[:10])}", hint="export it again")
    exported = _decoded((folder / VERSION).read_bytes())
    data = (folder / MANIFEST).read_bytes()
    if hashlib.sha256(data).hexdigest() != exported.registered.manifest:
        what = f"{MANIFEST} in {folder} is not the one of version {exported.registered.version}: it was changed"
        raise IntegrityError(what, hint="export it again")
    return Bundle(Manifest.from_json(data), (folder / MODEL).read_bytes()), exported.registered


def take_in(
    store: Store,
    folder: Path,
    features: Features | None = None,
    *,
    now: datetime,
    target: Target | None = None,
    trusted: Collection[str] = (),
) -> ev.VersionRegistered:
    """Register an exported version in this store; the first one that passes becomes the champion.

    Its gates come along, and two are asked anew, because this is another place: `contract` and `compatible`. The same
    export registers once.

    Args:
        store: The registry.
        folder: What `export` wrote.
        features: The Loop's `features()`, where the model needs one.
        now: Time on the loop's clock.
        target: Where it is to run; this machine by default.
        trusted: As for `Bundle.load`.

    Raises:
        IntegrityError, ModelError, NotFoundError: As `read_exported`.
    """
    bundle, registered = read_exported(folder)
    here = {"contract", "compatible"}
    memory = bundle.manifest.needs.memory if bundle.manifest.needs is not None else None
    needs = bundle.manifest.needs or needs_of(bundle.manifest, features, memory=memory)
    gates = [gate for gate in registered.gates if gate.gate not in here]
    fits = compatible(needs, target or Target())
    gates.append(fits)
    if fits.passed:  # what lacks a package would only fail in words that are harder to read
        gates.append(check_contract(registered.loop, bundle, None, features, trusted=trusted))
    key = bundle.save(store.artifacts)
    event = msgspec.structs.replace(
        registered,
        version=0,
        parent=None,
        manifest=key,
        gates=tuple(gates),
        trigger=ev.Trigger(
            key=f"import:{registered.loop}:{key}",
            kind="import",
            reason=f"version {registered.version} of another registry, trained for {registered.trigger.key}",
        ),
    )
    rules = Rules(loop=registered.loop, when=never(), deploy=Immediately())
    recorded, _ = Feed(store.ledger, rules).register(event, time=now)
    assert isinstance(recorded.event, ev.VersionRegistered)
    return recorded.event


def _decoded(data: bytes) -> Exported:
    try:
        written = msgspec.json.decode(data, type=_Format).format
        if written > FORMAT:
            what = f"this export has format {written} and this Homeostat reads up to {FORMAT}"
            raise ModelError(what, hint="upgrade homeostat here, or export with an older one there")
        return msgspec.json.decode(data, type=Exported)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{VERSION} is not what `homeostat export` writes: {error}", hint="export it again") from error
