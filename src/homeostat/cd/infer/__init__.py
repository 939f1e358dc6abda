"""Batch inference: a table in, its predictions out, by the same check and the same model as the server's."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.infer.infer import Inferred as Inferred
    from homeostat.cd.infer.infer import infer as infer
    from homeostat.cd.infer.infer import predictions_table as predictions_table

__getattr__ = loader(
    __name__,
    {
        "infer": ("Inferred", "infer", "predictions_table"),
    },
)
