"""Writes the model in MLflow's onnx flavour, with a signature, for `mlflow models serve`."""

import os
import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

if __name__ == "__main__":
    columns = int(sys.argv[2])
    mlflow.onnx.save_model(
        onnx.load(os.environ["BENCH_MODEL"]),
        sys.argv[1],
        signature=ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, columns), "x")])),
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1},
        pip_requirements=[],
    )
