"""MLflow's client of its scoring server, as it is: data frames, dicts of arrays and lists of records."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import requests
from asked import ADDRESS, ROWS, URL, VALUES, refusal
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

client = ScoringServerClient(*ADDRESS.split(":"))
client.ping()
client.wait_server_ready(timeout=10)
assert client.get_version()

frame = pd.DataFrame(ROWS)
timed = frame.assign(scheduled=pd.to_datetime(frame["scheduled"]).dt.tz_localize(None))
columns = json.dumps({"inputs": {name: frame[name].tolist() for name in frame}})
for data in (frame, timed, columns, ROWS):
    answer = client.invoke(data)
    assert answer.get_predictions()[0].tolist() == VALUES
    np.testing.assert_array_equal(answer.get_predictions("ndarray"), VALUES)

answer = requests.post(
    f"{URL}/invocations", data=frame.to_csv(index=False), headers={"Content-Type": "text/csv"}, timeout=10
)
assert answer.json()["predictions"] == VALUES, answer.text

assert "'wind'" in refusal(client.invoke, frame.drop(columns="wind"))
