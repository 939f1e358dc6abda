"""The ledger: one append-only, hash-chained record of everything that happened, and the status read from it."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.core.ledger.ledger import Ledger as Ledger
    from homeostat.core.ledger.ledger import Transaction as Transaction
    from homeostat.core.ledger.rows import Lease as Lease
    from homeostat.core.ledger.rows import Recorded as Recorded
    from homeostat.core.ledger.rows import RunRow as RunRow
    from homeostat.core.ledger.rows import VersionRow as VersionRow
    from homeostat.core.ledger.states import MOVES as MOVES

__getattr__ = loader(
    __name__,
    {"states": ("MOVES",), "ledger": ("Ledger", "Transaction"), "rows": ("Lease", "Recorded", "RunRow", "VersionRow")},
)
