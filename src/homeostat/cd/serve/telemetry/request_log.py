"""What the server says on standard error: a line of JSON each for programs, plain text in a terminal.

Requests are told of when they failed, took long, or are one of so many; never a token, and what was in them only where
the message of an error quotes it.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from homeostat.cd.serve.http.any_json import encode_any
from homeostat.core.clock import stopwatch
from homeostat.core.errors import RefusedError
from homeostat.core.text.plain import plain, plain_json

LOG_VARIABLE = "HOMEOSTAT_LOG"
"""`json` or `text`; without it, JSON unless standard error is a terminal."""

_LOGGERS = ("homeostat", "uvicorn")
_MOST_A_SECOND = 100
"""Lines about requests; a thousand failures a second are told of by a hundred lines and a count."""

logger = logging.getLogger("homeostat.serve")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and the facts given as `extra={"facts": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return plain_json(encode_any(line).decode())


class TextFormatter(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        moment = datetime.fromtimestamp(record.created, UTC)
        facts = dict(getattr(record, "facts", {}))
        why = self.formatException(record.exc_info) if record.exc_info else facts.pop("traceback", "")
        told = " ".join(f"{name}={value}" for name, value in facts.items())
        said = plain(f"{record.levelname.lower()}: {record.getMessage()} {told}".rstrip())
        line = f"{moment:%Y-%m-%d %H:%M:%S} {said}"
        return f"{line}\n{plain(why, lines=True)}" if why else line


def set_up_logging(stream: TextIO | None = None) -> None:
    """Send what this process's server says to standard error, in the form that HOMEOSTAT_LOG asks for.

    Raises:
        RefusedError: The variable says something else than `json` or `text`.
    """
    stream = stream or sys.stderr
    wanted = os.environ.get(LOG_VARIABLE) or ("text" if stream.isatty() else "json")
    if wanted not in {"json", "text"}:
        raise RefusedError(f"{LOG_VARIABLE} is {wanted!r}", hint="set it to json or text, or leave it out")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if wanted == "json" else TextFormatter())
    for name in _LOGGERS:
        one = logging.getLogger(name)
        one.handlers = [handler]
        one.propagate = False
    logging.getLogger("homeostat").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def tell(message: str, *, level: int = logging.INFO, error: BaseException | None = None, **facts: Any) -> None:
    """One line about the server, with the traceback of an error."""
    logger.log(level, message, exc_info=error, extra={"facts": facts})


class RequestLog:
    """Decides which requests are told of, and tells.

    Args:
        slow_seconds: A request that took longer is told of.
        sample: One of so many of the others is too; 0 tells of none.

    Example:
        >>> RequestLog(slow_seconds=1.0).wants(200, 0.001)
        False
        >>> RequestLog(slow_seconds=1.0).wants(500, 0.001)
        True
    """

    def __init__(self, *, slow_seconds: float = 1.0, sample: int = 0) -> None:
        self._slow, self._sample = slow_seconds, sample
        self._until = sample
        self._second = 0.0
        self._told = self._left_out = 0

    def wants(self, status: int, seconds: float) -> bool:
        """Whether a request is told of."""
        if status >= 500 or seconds >= self._slow:
            return True
        if self._sample:
            self._until -= 1
            if not self._until:
                self._until = self._sample
                return True
        return False

    def tell(self, status: int, seconds: float, **facts: Any) -> None:
        """Tell of one request: its route, model, ids, and why it failed; facts that are None are left out."""
        if not self._may_tell():
            return
        facts = {name: value for name, value in facts.items() if value is not None}
        facts |= {"status": status, "seconds": round(seconds, 6)}
        if self._left_out:
            facts["left_out"], self._left_out = self._left_out, 0
        if status >= 500:
            tell("request failed", level=logging.ERROR, **facts)
        elif seconds >= self._slow:
            tell("request was slow", level=logging.WARNING, **facts)
        else:
            tell("request", **facts)

    def _may_tell(self) -> bool:
        now = stopwatch()
        if now - self._second >= 1.0:
            self._second, self._told = now, 0
        self._told += 1
        self._left_out += self._told > _MOST_A_SECOND
        return self._told <= _MOST_A_SECOND
