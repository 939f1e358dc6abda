"""A version on its way between registries: a folder with everything of it, and nothing else.

`manifest.json` says what the model is, and its SHA-256 is the model's name; `model.bin` is the stored model;
`version.json` is its registration: trigger, metrics, gates, window.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from homeostat.cd.deploy import Immediately
from homeostat.ci.gates.rehearsed import compatible
from homeostat.core import events as ev
from homeostat.core.clock import new_id
from homeostat.core.errors import HomeostatError, IntegrityError, ModelError, NotFoundError, RefusedError, StoreError
from homeostat.core.files import OddFileError, read_regular
from homeostat.core.ledger import unproven
from homeostat.core.loop_names import check_loop_name, check_run_name
from homeostat.core.model import Bundle, Manifest
from homeostat.core.model.boosters import LIBRARIES
from homeostat.core.model.inspect import MOST_BYTES, MOST_MANIFEST_BYTES, check_blob
from homeostat.core.model.needs import Target, needs_of
from homeostat.core.text import records
from homeostat.core.text.read_json import read_json
from homeostat.ct.when import never
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.judged import judged_here
from homeostat.engine.training.rehearse import check_contract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from homeostat.core.model import Features
    from homeostat.core.store import Store
    from homeostat.loop import Loop

FORMAT = 1
MANIFEST, MODEL, VERSION = "manifest.json", "model.bin", "version.json"
_MOST_VERSION_BYTES = 4 << 20
RUNTIMES = ("onnx", "skops", "numpy", *LIBRARIES)
_AGAIN = "export it again"
_PARTS = {MANIFEST: MOST_MANIFEST_BYTES, MODEL: MOST_BYTES, VERSION: _MOST_VERSION_BYTES}


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `version.json`.

    Attributes:
        registered: The version as it stands in the registry that it comes from.
    """

    format: int = FORMAT
    registered: ev.VersionRegistered


def export(store: Store, loop: str, version: int, folder: Path) -> None:
    """Write a version into a new folder, which appears whole or not at all. The folder must not be there, or be empty.

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
        (aside / VERSION).write_bytes(records.to_json(Exported(registered=registered)))
        aside.replace(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_exported(folder: Path) -> tuple[Bundle, ev.VersionRegistered]:
    """The bundle and the registration in an exported folder, checked whole: nothing of it is built.

    Raises:
        NotFoundError: There is no such folder.
        IntegrityError: A part is missing, changed, larger than it may be, no file, or there is more than these.
        ModelError: It is of a newer format, or no export at all.
        UserError: A name in it is none.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", hint="`homeostat export VERSION FOLDER` writes one")
    there = {item.name for item in folder.iterdir()}
    problems = [f"{name} is missing" for name in sorted(_PARTS.keys() - there)]
    problems += [f"{name:.80} is no part of it" for name in sorted(there - _PARTS.keys())]
    parts = {}
    for name in _PARTS.keys() & there:
        try:
            size = (folder / name).lstat().st_size
            if size > _PARTS[name]:
                problems.append(f"{name} has {size:,} bytes; {_PARTS[name]:,} are the most")
            else:
                parts[name] = read_regular(folder / name, _PARTS[name])
        except OddFileError:
            problems.append(f"{name} is no file")
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror or error}")
    if problems:
        raise IntegrityError(f"{folder} is no whole export: {'; '.join(problems[:10])}", hint=_AGAIN)
    exported = _decoded(_strict(parts[VERSION], VERSION))
    registered, data = exported.registered, parts[MANIFEST]
    if hashlib.sha256(data).hexdigest() != registered.manifest:
        what = f"{MANIFEST} in {folder} is not the one of version {registered.version}: it was changed"
        raise IntegrityError(what, hint=_AGAIN)
    manifest = Manifest.from_json(_strict(data, MANIFEST))
    _check_names(registered, manifest)
    return Bundle(manifest, parts[MODEL]), registered


def _strict(data: bytes, name: str) -> bytes:
    """JSON that says each thing once, unchanged."""
    try:
        read_json(data)
    except ValueError as error:
        raise ModelError(f"{name} is not what `homeostat export` writes: {error}", hint=_AGAIN) from error
    return data


def _check_names(registered: ev.VersionRegistered, manifest: Manifest) -> None:
    """Make sure that what names files and folders does so, and that both parts speak of one thing."""
    check_loop_name(registered.loop)
    check_run_name(registered.run)
    if not 1 <= registered.version < 1 << 31:
        raise ModelError(f"{VERSION} is of version {registered.version}, which is none", hint=_AGAIN)
    if manifest.loop != registered.loop:
        what = f"{VERSION} is of loop {registered.loop!r} and {MANIFEST} of {manifest.loop!r:.80}"
        raise IntegrityError(what, hint=_AGAIN)
    if manifest.blob.runtime not in RUNTIMES:
        what = f"this Homeostat has no runtime called {manifest.blob.runtime!r:.80}"
        raise ModelError(what, hint="upgrade homeostat")


class Vouched(NamedTuple):
    """Who answers for a version that was made and judged elsewhere, and why."""

    user: str
    reason: str


def take_in(
    store: Store,
    folder: Path,
    features: Features | None = None,
    *,
    now: datetime,
    target: Target | None = None,
    trusted: Collection[str] = (),
    declared: Loop | None = None,
    vouched: Vouched | None = None,
) -> ev.VersionRegistered:
    """Register an exported version in this store.

    What the sender's gates said is recorded, and decides nothing. `contract` and `compatible` are asked here; so are
    the standing checks and the Loop's gates when this store holds rows of the declared Loop. Otherwise the version
    waits as a candidate that cannot become the champion, unless somebody vouches for it: then the sender's gates count.
    The same export registers once in each of these ways.

    Args:
        store: The registry.
        folder: What `export` wrote.
        features: The Loop's `features()`, where the model needs one.
        now: Time on the loop's clock.
        target: Where it is to run; this machine by default.
        trusted: As for `Bundle.load`.
        declared: The Loop, whose gates are run on this store's rows.
        vouched: Who answers for the sender's gates.

    Raises:
        IntegrityError, ModelError, NotFoundError, UserError: As `read_exported`; the model holds what may not be built.
    """
    bundle, registered = read_exported(folder)
    if declared is not None and declared.name != registered.loop:
        what = f"the export is of loop {registered.loop!r} and the file declares {declared.name!r}"
        raise RefusedError(what, hint="pass the file of that Loop as --loop")
    check_blob(bundle.manifest.blob.runtime, bundle.data, trusted)
    with _one_error():
        gates = _asked_here(bundle, registered.loop, features, target, trusted)
        wanted = declared if all(gate.passed for gate in gates) else None
        proven = judged_here(store, wanted, bundle, now, trusted) if wanted is not None else None
    told = tuple(gate for gate in registered.gates if gate.gate not in _HERE)
    how = "judged" if proven else "vouched" if vouched else ""
    gates += proven[0] if proven else told if vouched else (_unproven(told),)
    key = bundle.save(store.artifacts)
    event = msgspec.structs.replace(
        registered,
        version=0,
        run=f"import-{key[:20]}",  # a run of this store is none of theirs
        parent=proven[1] if proven else None,
        manifest=key,
        gates=tuple(gates),
        told=told,
        trainable=0,
        trigger=_trigger(registered, key, how, vouched),
    )
    rules = Rules.of(declared) if proven and declared else Rules(loop=event.loop, when=never(), deploy=Immediately())
    recorded, _ = Feed(store.ledger, rules).register(event, time=now)
    assert isinstance(recorded.event, ev.VersionRegistered)
    return recorded.event


_HERE = frozenset({"contract", "compatible", unproven.UNPROVEN})


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever libraries raise on a model that was forged becomes one sentence."""
    try:
        yield
    except HomeostatError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"the model cannot be used: {type(error).__name__}: {said}", hint=_AGAIN) from error


def _unproven(told: tuple[ev.GateResult, ...]) -> ev.GateResult:
    """The verdict on what nobody here judged or vouched for."""
    numbers = {"told": {gate.gate: gate.passed for gate in told}}
    reason = f"it {unproven.REASON}; {unproven.HINT}"
    return ev.GateResult(gate=unproven.UNPROVEN, passed=False, reason=reason, numbers=numbers, binding=True)


def _asked_here(
    bundle: Bundle, loop: str, features: Features | None, target: Target | None, trusted: Collection[str]
) -> list[ev.GateResult]:
    """The two gates that are about this place, whatever was found elsewhere."""
    memory = bundle.manifest.needs.memory if bundle.manifest.needs is not None else None
    needs = bundle.manifest.needs or needs_of(bundle.manifest, features, memory=memory)
    fits = compatible(needs, target or Target())
    if not fits.passed:  # what lacks a package would only fail in words that are harder to read
        return [fits]
    return [fits, check_contract(loop, bundle, None, features, trusted=trusted)]


def _trigger(registered: ev.VersionRegistered, key: str, how: str, vouched: Vouched | None) -> ev.Trigger:
    reason = f"version {registered.version} of another registry, trained for {registered.trigger.key}"
    if vouched is not None:
        reason += f"; {vouched.user} vouches for it: {vouched.reason}"
    name = f"import:{registered.loop}:{key}" + (f":{how}" if how else "")
    return ev.Trigger(key=name, kind="import", reason=reason, user=vouched.user if vouched else None)


def _decoded(data: bytes) -> Exported:
    wrong = f"{VERSION} is not what `homeostat export` writes"
    return records.from_json(data, Exported, ModelError, wrong, hint=_AGAIN, newest=("export", FORMAT))
