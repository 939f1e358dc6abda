"""The ports: what Homeostat asks of a foreign system, each with one law suite that all of its adapters pass."""

from __future__ import annotations

from typing import Protocol

import msgspec


class TrainingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be carried out.

    Attributes:
        trigger: The key of its trigger, whose command stands in the ledger.
        store: The store's folder.
        loop_file: The declaration.
        played: Whether the loop's clock is a virtual one.
    """

    trigger: str
    store: str
    loop_file: str
    played: bool = False


class Executor(Protocol):
    """Where runs are carried out, one at a time. What becomes of a run stands in the ledger, and nowhere else."""

    def start(self, spec: TrainingSpec) -> None:
        """Begin a run beside the caller. To begin one again that left no record is harmless."""

    def running(self) -> bool:
        """Whether the run that was started last is under way, as far as can be told from here.

        Raises:
            HomeostatError: Why it ended without a record; a `UserError` where another attempt would end alike.
        """

    def cancel(self, trigger: str) -> None:
        """End the run of a trigger at once, where it can be ended and is the one that was started last."""

    def logs(self) -> str:
        """What the run that was started last printed, or what ended it."""

    def close(self) -> None:
        """Let everything end in good order; a run that was under way is begun again by the next start."""
