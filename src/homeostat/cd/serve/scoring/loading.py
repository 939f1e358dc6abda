"""From a version in the registry to one that can answer: loaded, its digests verified, golden-checked and warmed up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.cd.serve.scoring.version import LoadedVersion
from homeostat.core.model import Bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from homeostat.cd.serve.protocols import Protocol
    from homeostat.core.model import Features
    from homeostat.core.store import Store


def load_version(
    store: Store,
    name: str,
    version: int,
    features: Features | None = None,
    trusted: Collection[str] = (),
    between: Callable[[], None] = lambda: None,
    protocols: Sequence[Protocol] = (),
) -> LoadedVersion:
    """A version of a Loop, ready to answer.

    Args:
        store: Where it is registered and kept.
        name: Name of the Loop.
        version: Its number.
        features: The Loop's `features()`; it must be the one that it was trained with.
        trusted: Types of the user's own estimators, as for `Bundle.load`.
        between: Called between the steps, none of which takes long for a small model; whoever answers requests in the
            meantime wants the interpreter back.
        protocols: By which it will be asked.

    Raises:
        ModelError: It needs another `features()`, holds types that nobody vouched for, or answers its golden rows
            differently.
        IntegrityError: Its bytes were changed, or are not there.
    """
    between()
    row = store.ledger.version(name, version)
    between()
    bundle = Bundle.read(store.artifacts, row.manifest)
    between()
    model = bundle.model(features, trusted=trusted)
    between()
    served = LoadedVersion(version, model, protocols)
    between()
    served.check_golden()
    return served
