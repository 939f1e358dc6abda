"""A registered model inside the user's own program: `homeostat.load("rides@champion").predict(table)`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from homeostat.core.errors import NotFoundError, UserError
from homeostat.core.forks import Resident, answering
from homeostat.loop.load import FILE, load_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from homeostat.core.model import Bundle, Manifest, Model, Predictions
    from homeostat.core.store import Store
    from homeostat.loop.declaration import Loop

STORE = "HOMEOSTAT_STORE"
"""The variable that names the store where no argument does."""

_NAME = re.compile(r"(?P<loop>[a-z0-9-]+)(@(?P<which>champion|[0-9]+))?")


class Provenance(NamedTuple):
    """Where a model was loaded from, and with what; the arguments of `load`."""

    store: Path
    features: Callable[..., pl.DataFrame] | None
    loop: Path | str | Loop | None
    trusted: tuple[str, ...]
    threads: int


class LoadedModel(Resident):
    """A version that answers in this process, by the same check and the same code as the server's.

    Attributes:
        version: Its number. It stays the same when the champion changes; load again to follow.
    """

    def __init__(self, name: str, version: int, model: Model, source: Provenance | None = None) -> None:
        self.name, self.version, self.model = name, version, model
        self.signature = model.signature
        self._source = source

    def __reduce__(self) -> Any:
        """A pickled one is where it was loaded from; whoever unpickles it loads it again, with every check.

        Raises:
            ModelError: It was not loaded from a store.
        """
        if self._source is None:
            return self.model.__reduce__()
        return (_again, (f"{self.name}@{self.version}", self._source))

    def predict(self, table: Any) -> Predictions:
        """Predict rows. Nothing is written to the prediction log: that is for the server and for streams.

        Args:
            table: n raw rows as `core.frames.frame_of` takes them: Polars, Arrow, pandas, or a list of dictionaries.
                Target and label time are not looked at; key columns may be left out.

        Returns:
            `value` of shape (n,), and for a classification `score` of shape (n, classes).

        Raises:
            SchemaError: The rows do not fit the model's schema; lists every problem.
            DataError: It is no table.
            ModelError: `features()` or the model failed, or this process was forked from one that had used Polars.
        """
        from homeostat.core.model.first import ask_first

        return answering(lambda: self.model.predict(self._fitting(table)), lambda: ask_first(self.model))

    def _fitting(self, table: Any) -> pl.DataFrame:
        import polars as pl

        from homeostat.core.schema import fit
        from homeostat.core.schema.columns import stored_type
        from homeostat.core.table.foreign import frame_of

        rows, schema = frame_of(table), self.model.manifest.schema
        absent = [column for column in schema.inputs if column.name in schema.spec.key and column.name not in rows]
        wanted = tuple(column for column in schema.columns if column not in absent)
        rows, findings = fit(rows, msgspec.structs.replace(schema, columns=wanted), target_required=False)
        findings.raise_if_any()
        return rows.with_columns(pl.lit(None, stored_type(one.kind)).alias(one.name) for one in absent)

    def __repr__(self) -> str:
        return f"LoadedModel({self.name}@{self.version})"


def load(
    name: str,
    store: Path | str | None = None,
    *,
    features: Callable[..., pl.DataFrame] | None = None,
    loop: Path | str | Loop | None = None,
    trusted: Sequence[str] = (),
    threads: int = 1,
) -> LoadedModel:
    """A registered model, ready to answer in this process.

    Args:
        name: `rides@champion`, `rides@17`, or `rides` for the champion.
        store: The store's folder or its `file://` address; by default that of the variable `HOMEOSTAT_STORE`, else
            `.homeostat`.
        features: The Loop's `features()`; when the model needs it and it is not given, the one of the Loop's file.
        loop: The Loop, or its file; by default the `loop.py` beside the store, else the one in this folder. It is run
            only when the model needs `features()` or an estimator of yours.
        trusted: Types of your own estimators, as `package.module.Class`, where no Loop's file vouches for them.
        threads: Threads for large tables.

    Raises:
        NotFoundError: There is no such loop or version, it has no champion, or the Loop's file is not there.
        StoreError: There is no store.
        ModelError: `features()` is not the one that the model was trained with, or a type is not trusted.
        IntegrityError: The stored bytes were changed.

    Example:
        >>> model = load("rides@champion", store)                        # doctest: +SKIP
        >>> model.predict([{"hour": "2026-02-01T08:00:00Z", "wind": 3.5}]).value
        array([81.5])
    """
    from homeostat.core.model import Bundle
    from homeostat.core.store import DEFAULT
    from homeostat.loop.open import open_store

    wanted = _NAME.fullmatch(name)
    if wanted is None:
        hint = "write loop@champion or loop@17"
        if name.endswith(".py"):
            hint += "; homeostat.load_loop() reads a Loop's file"
        raise UserError(f"{name[:200]!r} names no model", hint=hint)
    opened = open_store(store if store is not None else os.environ.get(STORE) or DEFAULT, create=False)
    try:
        number, manifest = _version(opened, wanted["loop"], wanted["which"])
        bundle = Bundle.read(opened.artifacts, manifest)
    finally:
        opened.close()
    given, vouched = features, trusted
    if (bundle.manifest.features is not None and features is None) or _strange(bundle, trusted):
        features, trusted = _declared(bundle.manifest, loop, opened.path, features, trusted)
    source = Provenance(opened.path.resolve(), given, loop, tuple(vouched), threads)
    return LoadedModel(wanted["loop"], number, bundle.model(features, trusted=trusted, threads=threads), source)


def _again(name: str, source: Provenance) -> LoadedModel:
    """What a pickled model becomes."""
    return load(
        name, source.store, features=source.features, loop=source.loop, trusted=source.trusted, threads=source.threads
    )


def file_of(store: Store, names: Sequence[str]) -> Path | None:
    """The `loop.py` beside a store, or in this folder, where a champion of these loops needs what it declares."""
    from homeostat.core.model import Bundle

    for name in names:
        champion = store.ledger.champion(name)
        if champion is not None:
            bundle = Bundle.read(store.artifacts, store.ledger.version(name, champion.version).manifest)
            if bundle.manifest.features is not None or _strange(bundle, ()):
                return _beside(store.path)
    return None


def _beside(folder: Path) -> Path | None:
    places = (folder.resolve().parent / FILE, Path.cwd() / FILE)
    return next((place for place in places if place.is_file()), None)


def _version(store: Any, loop: str, which: str | None) -> tuple[int, str]:
    """The number and the manifest of the version that is meant."""
    ledger = store.ledger
    if which not in {None, "champion"}:
        row = ledger.version(loop, int(which or 0))
        return row.version, row.manifest
    champion = ledger.champion(loop)
    if champion is None:
        known = ", ".join(ledger.loops()) or "none"
        what = f"loop {loop!r} has no champion in {store.path}"
        raise NotFoundError(
            what, hint=f"loops: {known}" if loop not in ledger.loops() else "`homeostat run` trains one"
        )
    return champion.version, ledger.version(loop, champion.version).manifest


def _strange(bundle: Bundle, trusted: Sequence[str]) -> bool:
    """Whether the Loop has to vouch for a class that the model holds."""
    from homeostat.core.model.inspect import check_skops
    from homeostat.core.model.skops_form import StrangeTypeError

    if bundle.manifest.blob.runtime != "skops":
        return False
    try:
        check_skops(bundle.data, trusted)
    except StrangeTypeError:
        return True
    return False


def _declared(manifest: Manifest, loop: Any, folder: Path, features: Any, trusted: Sequence[str]) -> tuple[Any, Any]:
    """`features()` and the trusted types of the Loop that trained a model."""
    loop = _beside(folder) if loop is None else loop
    if loop is None:
        what = f"the model needs the features() or the estimator of loop {manifest.loop!r}, and its file is not found"
        raise NotFoundError(what, hint="pass features=, or the Loop's file as loop=")
    declared = load_loop(loop) if isinstance(loop, (str, Path)) else loop
    if declared.name != manifest.loop:
        what = f"{declared.file or 'the Loop'} declares {declared.name!r}, and the model is of {manifest.loop!r}"
        raise NotFoundError(what, hint="pass the file of that Loop as loop=, or its features()")
    return features or declared.features, (*trusted, *declared.trusted_types)
