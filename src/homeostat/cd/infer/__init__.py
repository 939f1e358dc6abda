"""Batch inference: a table in, its predictions out, by the same check and the same model as the server's."""

from homeostat.cd.infer.infer import Inferred, infer, predictions_table

__all__ = ["Inferred", "infer", "predictions_table"]
