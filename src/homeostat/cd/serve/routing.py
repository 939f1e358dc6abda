"""Which versions answer which share of requests: loaded aside, checked, and swapped in as one immutable table."""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from logging import WARNING
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.deploy import assign
from homeostat.cd.serve.scoring.version import LoadedVersion, same_contract
from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS, HomeostatError
from homeostat.core.events import Arm, ArmsSet, SchemaAccepted

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.core.ledger import Ledger

POLL_SECONDS = 0.1
_QUIET_SECONDS = 1.0
"""After a version was let go, memory is given back to the system once no swap came for so long."""
_FEWEST_POLLS, _MOST_POLLS = 20, 3_000
"""Polls between two attempts at a division of traffic that was refused: doubled each time."""


class Division(msgspec.Struct, frozen=True):
    """One division of traffic.

    Attributes:
        seq: Ledger number of the `ArmsSet` that it carries out.
        arms, salt: As in that event.
        champion: The version whose contract callers see.
        sole: The version that answers everything, or None when units are divided.
    """

    seq: int
    epoch: int
    arms: tuple[Arm, ...]
    salt: str
    served: dict[int, LoadedVersion]
    champion: LoadedVersion
    sole: int | None

    def arm(self, unit: str) -> Arm:
        """The arm that answers for a unit."""
        return assign(self.arms, self.salt, unit)


class _Wanted(msgspec.Struct, frozen=True):
    """What the ledger wants."""

    seq: int
    epoch: int
    champion: int
    arms: tuple[Arm, ...]
    salt: str


class RoutingStatus(msgspec.Struct, frozen=True):
    """What `GET /routing` says.

    Attributes:
        seq: Ledger number of the division of traffic that is in effect.
        wanted: The newest one in the ledger; `seq == wanted` acknowledges it.
        error: Why the wanted one is not in effect, else None.
    """

    seq: int | None
    wanted: int | None
    epoch: int | None
    arms: tuple[Arm, ...]
    error: str | None
    swaps: int
    refusals: int


class Router:
    """Follows the ledger and keeps the table that requests are answered from.

    Args:
        ledger: A connection of its own.
        loop: Name of the Loop.
        load: Version number to a served version; may raise any `HomeostatError` to refuse.
        before: Told every table before it is in effect.
    """

    def __init__(
        self,
        ledger: Ledger,
        loop: str,
        load: Callable[[int], LoadedVersion],
        *,
        before: Callable[[Division], None] = lambda _: None,
    ) -> None:
        self.ledger, self._loop, self._load, self._before = ledger, loop, load, before
        self.table: Division | None = None
        self._resident: dict[int, LoadedVersion] = {}
        self._previous: dict[int, LoadedVersion] = {}
        self._polling = threading.Lock()
        self._changes = ledger.changes()
        self._read: object = None
        self._freed: float | None = None
        self._wanted: int | None = None
        self._failed: tuple[int, int] | None = None
        self._backoff = self._patience = _FEWEST_POLLS
        self._error: str | None = None
        self._swaps = self._refusals = 0
        self._resting = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="routing", daemon=True)

    def start(self) -> None:
        """Read the ledger once, then follow it in a thread."""
        self.poll()
        self._thread.start()

    def stop(self) -> None:
        """Stop following; the table stays."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._changes.close()

    def rest(self) -> None:
        """Answer nothing, and give back what is loaded, until `wake`."""
        with self._polling:
            self._resting = True
            # Not closed: requests that began with these versions still end with them.
            self.table, self._resident = None, {}
            self._error = "it was unloaded"

    def wake(self) -> None:
        """Carry out what the ledger wants at once, also after a `rest`; blocks for as long as loading takes."""
        with self._polling:
            self._resting, self._failed, self._error, self._read = False, None, None, None
            self._poll()

    def status(self) -> RoutingStatus:
        """What is in effect, and what is not and why."""
        table = self.table
        return RoutingStatus(
            seq=table.seq if table else None,
            wanted=self._wanted,
            epoch=table.epoch if table else None,
            arms=table.arms if table else (),
            error=self._error,
            swaps=self._swaps,
            refusals=self._refusals,
        )

    def poll(self) -> None:
        """Carry out the newest division of traffic. Whatever goes wrong, a table in effect stays."""
        with self._polling:
            if not self._resting:
                self._poll()

    def _poll(self) -> None:
        try:
            self._look()
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - the next poll is another attempt
            before, self._error = self._error, f"the ledger cannot be followed: {type(error).__name__}: {error}"
            self._read = None
            if self._error != before:
                tell("the ledger cannot be followed", level=WARNING, model=self._loop, error=error)

    def _look(self) -> None:
        # Asking the ledger takes the interpreter from the event loop for a millisecond, ten times a second.
        mark_read = self._changes.mark()
        if mark_read == self._read and self._error is None and self.table is not None:
            return
        try:
            wanted = self._wanted_division()
            self._read = mark_read
        except HomeostatError as error:
            self._error = f"the ledger cannot be read: {error}"
            return
        if wanted is None:
            return
        mark = (wanted.seq, wanted.epoch)
        if self.table is not None and mark == (self.table.seq, self.table.epoch):
            self._error = None
            return
        if mark == self._failed and self._patience > 0:
            self._patience -= 1
            return
        self._try(wanted, mark)

    def _try(self, wanted: _Wanted, mark: tuple[int, int]) -> None:
        try:
            self._swap(wanted)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - a bundle that cannot be used never harms the ones that are in use
            again = mark == self._failed
            self._backoff = min(_MOST_POLLS, self._backoff * 2) if again else _FEWEST_POLLS
            self._failed, self._patience = mark, self._backoff
            self._refusals += not again
            self._fall_back(wanted)
            self._error = str(error) or type(error).__name__
            if not again:
                tell("a division of traffic is refused", level=WARNING, model=self._loop, why=self._error)

    def _fall_back(self, wanted: _Wanted) -> None:
        """When only a challenger is at fault, its champion still answers, alone; not acknowledged."""
        try:
            if self.table is None or self.table.champion.version != wanted.champion:
                self._swap(_Wanted(0, wanted.epoch, wanted.champion, _alone(wanted.champion), ""))
            else:
                # Whoever was told of a table that is not in effect holds nothing for it.
                self._before(self.table)
        except ENDINGS:
            raise
        except BaseException:  # noqa: BLE001 - what is wrong was told of already
            return

    def _wanted_division(self) -> _Wanted | None:
        recorded, champion = self.ledger.arms(self._loop), self.ledger.champion(self._loop)
        if champion is None:
            return None
        event = recorded.event if recorded is not None else None
        seq = recorded.seq if recorded is not None else 0
        self._wanted = seq
        if isinstance(event, ArmsSet) and any(
            arm.role == "champion" and arm.version == champion.version for arm in event.arms
        ):
            return _Wanted(seq, champion.epoch, champion.version, event.arms, event.salt)
        # The champion's row decides: a division of traffic from before a promotion is not carried out.
        return _Wanted(seq, champion.epoch, champion.version, _alone(champion.version), "")

    def _swap(self, wanted: _Wanted) -> None:
        served = {arm.version: self._resident.get(arm.version) or self._load(arm.version) for arm in wanted.arms}
        present = self.table
        if present is not None and not (len(served) == 1 and self._changes_meant(present.champion.version)):
            for one in served.values():
                same_contract(present.champion, one)
        answering = [arm.version for arm in wanted.arms if arm.share > 0]
        table = Division(
            seq=wanted.seq,
            epoch=wanted.epoch,
            arms=wanted.arms,
            salt=wanted.salt,
            served=served,
            champion=served[wanted.champion],
            sole=answering[0] if len(answering) == 1 else None,
        )
        self._before(table)
        self.table = table
        self._error = None
        self._swaps += 1
        if present is not None and present.served.keys() != served.keys():
            self._previous = present.served
        # The versions of the last other table stay resident, so that a rollback loads nothing; what is older goes with
        # the last request that uses it.
        before, self._resident = set(self._resident), self._previous | served
        if before - self._resident.keys():
            self._freed = stopwatch()

    def _changes_meant(self, version: int) -> bool:
        """Whether people accepted another schema since a version was registered: its callers know of it."""
        accepted = self.ledger.last(self._loop, SchemaAccepted)
        return accepted is not None and accepted.seq > self.ledger.version(self._loop, version).seq

    def _follow(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.poll()
            # Not between swaps that follow each other: it keeps whoever wants memory waiting for milliseconds.
            if self._freed is not None and stopwatch() - self._freed > _QUIET_SECONDS:
                self._freed = None
                _give_back_memory()


def _alone(version: int) -> tuple[Arm, ...]:
    return (Arm(version=version, role="champion", share=1.0),)


def _give_back_memory() -> None:
    """Have the C library return to the system what a model that is gone has freed; it would keep most of it."""
    with suppress(AttributeError, OSError):  # not every C library can
        ctypes.CDLL(None).malloc_trim(0)
