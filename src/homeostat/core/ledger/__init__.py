"""The ledger: one append-only, hash-chained record of everything that happened, and the status read from it."""

from homeostat.core.ledger.ledger import Ledger, Transaction, head
from homeostat.core.ledger.rows import CacheRow, ChampionRow, Lease, Recorded, RunRow, VersionRow
from homeostat.core.ledger.sqlite import journal_mode

__all__ = [
    "CacheRow",
    "ChampionRow",
    "Lease",
    "Ledger",
    "Recorded",
    "RunRow",
    "Transaction",
    "VersionRow",
    "head",
    "journal_mode",
]
