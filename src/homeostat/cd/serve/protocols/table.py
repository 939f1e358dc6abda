"""The protocols that the server speaks: a further one is a value in this table, and nothing else."""

from __future__ import annotations

from homeostat.cd.serve.protocols.mlflow import MLFLOW
from homeostat.cd.serve.protocols.openinference import OPEN_INFERENCE
from homeostat.cd.serve.protocols.records import RECORDS

PROTOCOLS = (RECORDS, OPEN_INFERENCE, MLFLOW)
