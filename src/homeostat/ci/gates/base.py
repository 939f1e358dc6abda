"""What a gate is: the one base of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from homeostat.ci.evaluate.report import Evaluation
    from homeostat.core.events import GateResult


class Gate(msgspec.Struct, frozen=True, tag_field="gate"):
    """A check that a candidate passes or fails."""

    def check(self, evaluation: Evaluation) -> GateResult:
        """Look at an evaluation, and say the verdict in a sentence with the numbers behind it."""
        raise TypeError(f"{type(self).__name__} is not a gate of its own")

    @property
    def label(self) -> str:
        """A short name, for the ledger and tables."""
        return str(type(self).__struct_config__.tag)

    @property
    def before_traffic(self) -> bool:
        """Whether it looks at a rehearsal of the candidate, served but not yet asked, and not at an evaluation."""
        return False

    @property
    def slices(self) -> tuple[str, ...]:
        """Columns that the evaluation has to slice by for this gate."""
        return ()
