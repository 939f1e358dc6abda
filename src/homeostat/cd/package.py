"""What puts the server on other machines: a Dockerfile, a systemd unit, the pinned versions, and a page that explains.

The texts are written for the Homeostat and the Python that run here, so that an image answers as this machine does.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from homeostat.core.errors import RefusedError
from homeostat.core.version import VERSION

PORT = 8000
_DRAIN_SECONDS = 5
_STOP_SECONDS = 45
"""Longer than the lead time, the ten seconds that requests in flight are given, and sealing all logs."""

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"extra\s*==")


def write_package(folder: Path, *, loop: Path | None = None, workers: int = 1, force: bool = False) -> list[Path]:
    """Write the package.

    Args:
        folder: Where; created when absent.
        loop: A declaration to take along, for models with `features()`.
        workers: Server processes.
        force: Replace files that are there.

    Raises:
        RefusedError: One of them is there already, or leads elsewhere; nothing was written.
    """
    files = _files(loop, workers)
    odd = [name for name in (*files, "wheels") if (folder / name).is_symlink()]
    odd += [name for name in files if (folder / name).exists() and not (folder / name).is_file()]
    if odd:
        raise RefusedError(f"{', '.join(sorted(odd))} in {folder} is no file of its own", hint="name a new folder")
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise RefusedError(
            f"{folder} holds {', '.join(there)} already", hint="pass --force to replace, or --out elsewhere"
        )
    written = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def pinned(package: str = "homeostat") -> list[str]:
    """A distribution's dependencies as they are installed here, `name==version`, without those of extras.

    Example:
        >>> [line.partition("==")[0] for line in pinned("prometheus-client")]
        ['prometheus-client']
    """
    found: dict[str, str] = {}
    waiting = [package]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = one.version
        plain = [line for line in one.requires or () if not _EXTRA.search(line)]
        waiting += [match.group() for line in plain if (match := _NAME.match(line))]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _files(loop: Path | None, workers: int) -> dict[str, str]:
    arguments = ["--workers", str(workers)] if workers > 1 else []
    files = {
        "Dockerfile": _dockerfile(arguments, loop),
        "constraints.txt": "\n".join(pinned()) + "\n",
        "healthcheck.py": _HEALTHCHECK,
        "homeostat-serve.service": _unit(arguments, loop),
        "wheels/README": "Wheels in this folder are preferred to those of the package index.\n",
        "README.md": _README.format(version=VERSION, port=PORT, drain=_DRAIN_SECONDS),
    }
    if loop is not None:
        files["loop.py"] = loop.read_text(encoding="utf-8")
    return files


def _dockerfile(arguments: list[str], loop: Path | None) -> str:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    told = ["--store", "/var/lib/homeostat", "--host", "0.0.0.0", "--port", str(PORT), *arguments]  # noqa: S104
    told += ["--loop", "/opt/homeostat/loop.py"] if loop else []
    copied = "healthcheck.py loop.py" if loop else "healthcheck.py"
    return _DOCKERFILE.format(
        python=python,
        version=VERSION,
        copied=copied,
        port=PORT,
        drain=_DRAIN_SECONDS,
        told=", ".join(f'"{word}"' for word in told),
    )


def _unit(arguments: list[str], loop: Path | None) -> str:
    told = [*arguments, *(["--loop", "/etc/homeostat/loop.py"] if loop else [])]
    return _UNIT.format(port=PORT, drain=_DRAIN_SECONDS, stop=_STOP_SECONDS, told="".join(f" {word}" for word in told))


_DOCKERFILE = """\
# The model server in an image of its own; README.md says how to build and run it.
FROM python:{python}-slim

ENV PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    HOMEOSTAT_LOG=json \\
    HOMEOSTAT_DRAIN_SECONDS={drain}

RUN groupadd --system --gid 10001 homeostat \\
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin homeostat \\
    && install --directory --owner=10001 --group=10001 /var/lib/homeostat

COPY constraints.txt wheels/ /opt/homeostat/install/
RUN python -m pip install --no-cache-dir --only-binary :all: --find-links /opt/homeostat/install \\
        --constraint /opt/homeostat/install/constraints.txt homeostat=={version} \\
    && rm -r /opt/homeostat/install
COPY {copied} /opt/homeostat/

USER 10001:10001
WORKDIR /var/lib/homeostat
VOLUME ["/var/lib/homeostat"]
EXPOSE {port}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/homeostat/healthcheck.py"]
ENTRYPOINT ["homeostat", "serve"]
CMD [{told}]
"""

_HEALTHCHECK = f'''\
"""Exit 0 while the server in this container is live; the standard library is enough."""

import os
import sys
import urllib.request

ask = urllib.request.Request("http://127.0.0.1:{PORT}/v2/health/live")
if token := os.environ.get("HOMEOSTAT_TOKEN"):
    ask.add_header("Authorization", f"Bearer {{token}}")
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(ask, timeout=3) as reply:
        sys.exit(reply.status != 200)
except OSError as error:
    sys.exit(f"not live: {{error}}")
'''

_UNIT = """\
[Unit]
Description=Homeostat model server
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
# It says by itself when it is ready, leaving, and still alive.
Type=notify
NotifyAccess=main
WatchdogSec=30
ExecStart=/opt/homeostat/bin/homeostat serve --store ${{STATE_DIRECTORY}} --host 127.0.0.1 --port {port}{told}
Environment=HOMEOSTAT_LOG=json HOMEOSTAT_DRAIN_SECONDS={drain}
EnvironmentFile=-/etc/homeostat/serve.env
Restart=on-failure
RestartSec=1
TimeoutStartSec=120
# The lead time for load balancers, requests in flight, and the log's seal have to fit in here.
TimeoutStopSec={stop}
# Workers are told to end by their parent; a signal from here would be their second one, which means at once.
KillMode=mixed

# Nobody's account, its own folder under /var/lib, and nothing else that it may write.
DynamicUser=yes
StateDirectory=homeostat
StateDirectoryMode=0700
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# Not MemoryDenyWriteExecute: models may compile themselves for this processor.

[Install]
WantedBy=multi-user.target
"""

_README = """\
# Homeostat {version}, packaged

`homeostat package serve` wrote this folder: the server for every model that the registry of a store has promoted.

## As a container

```console
$ docker build --tag homeostat-serve .
$ docker run --publish {port}:{port} --volume homeostat:/var/lib/homeostat --env HOMEOSTAT_TOKEN=... \\
    --stop-timeout 45 homeostat-serve
```

The volume holds the store: ledger, models, prediction log. The container runs as user 10001, who must be able to write
to it; a read-only root file system is fine when /tmp is a tmpfs. Outside of loopback every request bears the token.
When this Homeostat is in no package index that the build can reach, put its wheel into `wheels/`.

For Kubernetes: `livenessProbe` on `/v2/health/live` and `readinessProbe` on `/v2/health/ready`, both with
`timeoutSeconds: 5` and the header `Authorization`, and `terminationGracePeriodSeconds: 45`.

## As a systemd service

```console
# python3 -m venv /opt/homeostat
# /opt/homeostat/bin/pip install --constraint constraints.txt --find-links wheels homeostat=={version}
# cp homeostat-serve.service /etc/systemd/system/
# systemctl daemon-reload
# systemctl enable --now homeostat-serve
```

The store is /var/lib/homeostat; secrets and settings, HOMEOSTAT_TOKEN for one, go into /etc/homeostat/serve.env. The
service turns unready {drain} s before it takes no more requests, and systemd restarts it when a model hangs.
"""
