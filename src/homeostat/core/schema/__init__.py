"""The shape that rows must have: inferred once, kept with the model, held against everything that comes later."""

from homeostat.core.schema.checking import Findings, Guarded, check, guard, skew_signal
from homeostat.core.schema.columns import MOST_CATEGORIES, Column, Kind, Schema, difference, infer_schema, merge

__all__ = [
    "MOST_CATEGORIES",
    "Column",
    "Findings",
    "Guarded",
    "Kind",
    "Schema",
    "check",
    "difference",
    "guard",
    "infer_schema",
    "merge",
    "skew_signal",
]
