"""Why the server refuses a request before a model sees it; `http/replies` says with which status."""

from __future__ import annotations

from homeostat.core.errors import DataError, HomeostatError, RetryableError


class SlowError(RetryableError):
    """A body did not arrive in time."""


class MethodError(HomeostatError):
    """A route does not take this method."""

    def __init__(self, path: str, *allowed: str) -> None:
        self.path, self.allowed = path[:200], allowed
        super().__init__(f"{self.path} takes {', '.join(allowed)}")

    def __reduce__(self) -> tuple[type[MethodError], tuple[str, ...]]:
        return (MethodError, (self.path, *self.allowed))


class EncodingError(DataError):
    """A body is encoded in a way that is not taken here."""


class InflatedError(DataError):
    """A body is longer than the server takes once it is unpacked."""
