"""Holding a loop: its lease is renewed beside the work, however long a step of it takes."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.core.clock import SystemClock
from homeostat.core.errors import ConflictError, HomeostatError

if TYPE_CHECKING:
    from homeostat.core.ledger import Lease, Ledger

TTL = timedelta(seconds=30)
_RENEW_SECONDS = 5.0


class Hold:
    """A lease that is kept until it is let go, or lost."""

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self.lease = lease
        self._ledger = ledger
        self._lost: HomeostatError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that the loop is still ours.

        Raises:
            ConflictError: another process took it, while this one was paused or cut off from its disk.
        """
        if self._lost is not None:
            raise self._lost

    def let_go(self) -> bool:
        """Stop renewing; whether the lease is still ours."""
        self._stop.set()
        self._thread.join()
        return self._lost is None and self._ledger.holds(self.lease)

    def _renew(self) -> None:
        while not self._stop.wait(_RENEW_SECONDS):
            try:
                self._ledger.renew(self.lease, ttl=TTL, now=SystemClock().now())
            except ConflictError as error:
                self._lost = error
                return
            except HomeostatError:
                continue  # a busy or full disk; the lease lives on for a while, and the next try is near
