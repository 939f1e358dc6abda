"""Why a step ran or was reused, in words: the difference between what its key was made of then and now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeostat.core import events as ev

NOT_CACHED = "not cached"
_MOST = 4
_DIGEST_LENGTH = 64


def why_it_ran(parts: Mapping[str, str], previous: ev.StepFinished | None) -> str:
    """One sentence: what differs from the step's previous record.

    Example:
        >>> why_it_ran({"setting:rate": "0.2"}, None)
        'ran: this loop has not run it before'
    """
    if previous is None:
        return "ran: this loop has not run it before"
    changes = differences(previous.parts, parts)
    if changes:
        more = [f"{len(changes) - _MOST} more changes"] if len(changes) > _MOST else []
        return "reran because " + "; ".join([*changes[:_MOST], *more])
    if NOT_CACHED in parts:
        return f"ran because it cannot be cached: {parts[NOT_CACHED]}"
    if previous.outcome == "failed":
        return f"reran because it failed in run {previous.run}"
    return f"reran although nothing changed: the output that run {previous.run} stored is not there any more"


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed between two sets of parts, in words, most telling first.

    Example:
        >>> differences({"setting:learning_rate": "0.1"}, {"setting:learning_rate": "0.2"})
        ['`learning_rate` 0.1 -> 0.2']
    """
    changed = [part for part in {**before, **now} if before.get(part) != now.get(part)]
    known = [part for part in changed if part.partition(":")[0] in _WORDS]
    ranked = sorted(known, key=lambda part: (_ORDER.index(part.partition(":")[0]), part))
    # The step's own function is the first code that was named.
    own = next((part.partition(":")[2] for part in now if part.startswith("code:")), None)
    words = [(_WORDS[part.partition(":")[0]], part.partition(":")[2], part) for part in ranked]
    return [say(name, before.get(part), now.get(part), own) for say, name, part in words]


def _setting(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"`{name}` {_arrow(before, now)}"


def _input(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"input `{name}` {'changed' if before and now else 'is new' if now else 'is gone'}"


def _code(name: str, before: str | None, now: str | None, own: str | None) -> str:
    if name == own:
        return "its own code changed"
    short = name.rpartition(".")[2] + "()"
    return f"helper `{short}` {'changed' if before and now else 'is now used' if now else 'is no longer used'}"


def _default(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    function, _, parameter = name.rpartition(".")
    return f"the default of `{parameter}` of `{function.rpartition('.')[2]}()` {_arrow(before, now)}"


def _constant(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"`{name.rpartition('.')[2]}` {_arrow(before, now)}"


def _package(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"package {name} {_arrow(before, now)}"


_WORDS = {
    "setting": _setting,
    "code": _code,
    "constant": _constant,
    "default": _default,
    "input": _input,
    "package": _package,
}
_ORDER = list(_WORDS)


def _arrow(before: str | None, now: str | None) -> str:
    if before is None:
        return "is new" if _is_digest(now) else f"is new: {now}"
    if now is None:
        return "is gone"
    return "changed" if _is_digest(before) or _is_digest(now) else f"{before} -> {now}"


def _is_digest(text: str | None) -> bool:
    return text is not None and len(text) == _DIGEST_LENGTH and set(text) <= set("0123456789abcdef")
