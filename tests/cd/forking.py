"""A process that has imported what a server needs and forks one whenever it is told to: a start costs no imports.

Run as a script it reads commands, one a line, and answers each with a line: `start` forks the server, `kill` ends it
with SIGKILL and waits until it is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


class Forker:
    """Starts and kills the real server of a store: `with Forker(store, loop, port) as forker`."""

    def __init__(self, store, loop, port):
        command = [sys.executable, str(Path(__file__)), str(store.path), loop, str(port)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def start(self):
        self._tell("start")

    def kill(self):
        self._tell("kill")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _tell(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n", "the forking process ended"


def main(store, loop, port):
    import deltalake  # noqa: F401 - imported ahead of the fork, like all of these
    import onnxruntime  # noqa: F401
    import polars as pl  # noqa: F401
    import sqlalchemy.dialects.sqlite  # noqa: F401
    import uvicorn.protocols.http.httptools_impl  # noqa: F401
    import uvloop  # noqa: F401

    import homeostat.core.model.runtimes  # noqa: F401
    from homeostat.cd.serve.process import serve

    child = 0
    for line in sys.stdin:
        if line == "start\n":
            child = os.fork()
            if not child:
                serve(store, loop, port=port)
                os._exit(1)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
        print("done", flush=True)
    if child:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
