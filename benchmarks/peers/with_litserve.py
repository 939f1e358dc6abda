"""LitServe with ONNX Runtime: batches of up to 32 requests, the fast queue, no access log.

Waiting for a millisecond makes batches of what comes together, and doubled its requests a second.
"""

import os
import sys

import litserve
import numpy as np
import onnxruntime


class Model(litserve.LitAPI):
    """A request holds rows; a batch holds the rows of several requests."""

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)

    def decode_request(self, request: dict) -> list:
        return request["rows"]

    def batch(self, inputs: list) -> tuple:
        rows = [row for part in inputs for row in part]
        return [len(part) for part in inputs], np.array(rows, np.float32)

    def predict(self, batch: tuple) -> tuple:
        sizes, rows = batch
        labels, scores = self.session.run(None, {"x": rows})
        return sizes, labels.astype(bool).tolist(), scores[:, 1].tolist()

    def unbatch(self, output: tuple) -> list:
        sizes, labels, scores = output
        stops = np.cumsum(sizes).tolist()
        return [(labels[stop - n : stop], scores[stop - n : stop]) for n, stop in zip(sizes, stops, strict=True)]

    def encode_response(self, output: tuple) -> dict:
        return {"labels": output[0], "scores": output[1]}


if __name__ == "__main__":
    server = litserve.LitServer(
        Model(max_batch_size=32, batch_timeout=0.001),
        accelerator="cpu",
        devices=1,
        workers_per_device=1,
        fast_queue=True,
    )
    server.run(port=int(sys.argv[1]), host="127.0.0.1", log_level="warning", generate_client_file=False)
