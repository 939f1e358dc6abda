"""Who answers a stream: the champion, whoever that is when a batch is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.cd.serve.rows import RowDecoder
from homeostat.cd.serve.scoring.version import contract_problems
from homeostat.core.errors import HomeostatError, ModelError, NotFoundError
from homeostat.core.model import Bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import polars as pl

    from homeostat.core.model import Model
    from homeostat.core.store import Store


class Champions:
    """Follows the ledger: after a promotion the next batch is answered by the new champion.

    A champion that cannot be loaded, or that takes other columns, does not take over; the one before goes on answering.

    Attributes:
        decoder: Makes rows of what was taken, by the server's rules.
        refused: Why the newest champion does not answer, or None.

    Raises:
        NotFoundError: There is no champion yet.
        ModelError: The first one cannot be loaded.
    """

    model: Model
    decoder: RowDecoder

    def __init__(
        self,
        store: Store,
        loop: str,
        features: Callable[..., pl.DataFrame] | None = None,
        *,
        trusted: Collection[str] = (),
    ) -> None:
        self._store, self._loop, self._features, self._trusted = store, loop, features, tuple(trusted)
        self.version = 0
        self.refused: str | None = None
        self._seen = 0
        champion = store.ledger.champion(loop)
        if champion is None:
            raise NotFoundError(f"loop {loop!r} has no champion yet", hint="`homeostat run` trains the first one")
        self._crown(champion.version)

    def follow(self) -> None:
        """Look who is champion now."""
        champion = self._store.ledger.champion(self._loop)
        if champion is None or champion.version == self._seen:
            return
        try:
            self._crown(champion.version)
        except HomeostatError as error:
            self.refused = f"version {champion.version} does not answer: {error}"

    def _crown(self, version: int) -> None:
        self._seen = version
        row = self._store.ledger.version(self._loop, version)
        model = Bundle.load(self._store.artifacts, row.manifest, self._features, trusted=self._trusted)
        model.check_golden()
        if self.version and (problems := contract_problems(self.model.signature, model.signature)):
            raise ModelError(f"it has another contract than version {self.version}: {'; '.join(problems[:20])}")
        self.version, self.model, self.refused = version, model, None
        self.decoder = RowDecoder(model.signature.inputs, model.signature.key, model.signature.time)
