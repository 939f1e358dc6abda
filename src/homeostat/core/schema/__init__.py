"""The shape that rows must have: inferred once, kept with the model, held against everything that comes later."""

from homeostat.core.schema.checking import Findings, check, fit
from homeostat.core.schema.columns import MOST_CATEGORIES, Column, Kind, Schema, difference, infer_schema, merge

__all__ = [
    "MOST_CATEGORIES",
    "Column",
    "Findings",
    "Kind",
    "Schema",
    "check",
    "difference",
    "fit",
    "infer_schema",
    "merge",
]
