"""Every error that Homeostat raises on purpose: what happened, to what, and what to do about it.

HomeostatError
├── UserError                 the caller can mend it (exit code 2)
│   ├── LoopError             the declaration in loop.py does not hold together
│   ├── DataError             the rows do not hold what was declared
│   │   └── SchemaError       columns are missing, unexpected or mistyped: the pipeline stops
│   ├── ModelError            the estimator or its bundle cannot be used
│   ├── CodecError            a value has no safe encoding
│   ├── StoreError            the store cannot be opened, read or written
│   ├── NotFoundError         nothing has that name or number
│   └── RefusedError          allowed to ask, but the answer is no (a gate, a lease, a state)
├── InternalError             ours to mend (exit code 1)
│   ├── StepFailedError       the code of a step raised
│   └── IntegrityError        stored bytes are not the bytes that were written
└── RetryableError            doing the same again may work (exit code 1)
    └── ConflictError         somebody else was faster: compare-and-set, lease or fence
"""

from __future__ import annotations

import functools
from pathlib import Path

from homeostat.core.text.plain import plain

_LONGEST = 2_000

ENDINGS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a process or a generator. Everything else that is raised, a library's panic too, is a failure of what was
being done; such panics are no `Exception`."""


class HomeostatError(Exception):
    r"""An error with a hint.

    Args:
        what: What happened, to what (run, step, column, row). Cut at 2,000 characters; control characters are written
            out, because part of it may come from outside.
        hint: What the reader can do now; one sentence, built from the data where possible.

    Example:
        >>> str(HomeostatError("column 'late' is missing", hint="did you mean 'delay'?"))
        "column 'late' is missing\n  hint: did you mean 'delay'?"
    """

    exit_code = 1

    def __init__(self, what: str, hint: str | None = None) -> None:
        self.what = _bounded(plain(what, lines=True))
        self.hint = _bounded(plain(hint, lines=True)) if hint else None
        super().__init__(self.what, self.hint)

    def __str__(self) -> str:
        return f"{self.what}\n  hint: {self.hint}" if self.hint else self.what


class UserError(HomeostatError):
    """A mistake that the caller can mend."""

    exit_code = 2


class LoopError(UserError):
    """The declaration of a Loop does not hold together."""


class DataError(UserError):
    """Rows do not hold what was declared about them."""


class SchemaError(DataError):
    """Columns are missing, unexpected or mistyped: schema skew, which stops a pipeline."""


class ModelError(UserError):
    """An estimator or a bundle cannot be used."""


class CodecError(UserError):
    """A value has no safe encoding."""


class StoreError(UserError):
    """The store cannot be opened, read or written."""


class NotFoundError(UserError):
    """Nothing has that name or number."""


class RefusedError(UserError):
    """The request was understood and the answer is no."""


class InternalError(HomeostatError):
    """A fault that is not the caller's."""


class StepFailedError(InternalError):
    """The code of a pipeline step raised."""


class IntegrityError(InternalError):
    """Stored bytes are not the bytes that were written."""


class RetryableError(HomeostatError):
    """Doing the same again may work."""


class ConflictError(RetryableError):
    """Somebody else was faster."""


def shown(value: object) -> str:
    """A value as it may stand in a message: its repr, cut at 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def blamed(error: BaseException) -> str | None:
    """Where the user's own code raised: the innermost line outside of Homeostat and of installed libraries.

    Returns:
        For example `loop.py, line 12`; None when no such code took part.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_users(frame.filename)]
    return f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else None


def _is_users(filename: str) -> bool:
    return not filename.startswith("<") and not any(Path(filename).is_relative_to(folder) for folder in _libraries())


@functools.cache
def _libraries() -> tuple[Path, ...]:
    import sysconfig

    installed = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")]
    return (Path(__file__).parent.parent, *installed)


def printable(text: str) -> str:
    """A text that can be encoded whatever was put into it: halves of surrogate pairs are written out."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _bounded(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
