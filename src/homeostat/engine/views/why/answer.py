"""The form of an explanation, and the words that its parts share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from datetime import datetime

    from homeostat.core.events import GateResult, Judgement, Trigger

_LONGEST = 160


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """An explanation.

    Attributes:
        subject: What it is about, for example `version 17`.
        because: Further sentences, in the order of what happened.
        facts: The inputs and thresholds behind the answer: name to printable value.
        cause: What led to it, in words, or None when nothing did.
        see: What to ask next, each an argument of `homeostat why`.
    """

    subject: str
    answer: str
    because: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    cause: str | None = None
    see: tuple[str, ...] = ()


def at(moment: datetime) -> str:
    """A time as people write it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def flat(value: Any, name: str = "") -> dict[str, str]:
    """Nested evidence as one level of dotted names and printable values.

    Example:
        >>> flat({"psi": {"value": 0.31415, "limit": 0.2}, "rows": 1200})
        {'psi.value': '0.3142', 'psi.limit': '0.2', 'rows': '1,200'}
    """
    if isinstance(value, dict):
        parts = [flat(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(one, dict | list | tuple) for one in value):
        parts = [flat(inner, f"{name}[{_label(inner, place)}]") for place, inner in enumerate(value)]
    else:
        return {} if value is None else {name: text(value)}
    return {key: shown for part in parts for key, shown in part.items()}


def text(value: Any) -> str:
    """A value as it stands in a table: numbers rounded to four digits, long text cut."""
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return _number(value)
        case list() | tuple():
            return " to ".join(map(text, value)) if len(value) == 2 else ", ".join(map(text, value))
    shown = str(value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def asked_by(trigger: Trigger) -> str:
    """A trigger as a clause."""
    who = f" (asked by {trigger.user})" if trigger.user else ""
    return f"{trigger.kind}{who}: {trigger.reason}"


def gate_line(gate: GateResult) -> str:
    """A gate as a sentence."""
    return f"gate {gate.gate} {'passed' if gate.passed else 'REFUSED it'}: {gate.reason}"


def judged(judgement: Judgement) -> dict[str, str]:
    """A judgement as facts."""
    facts: dict[str, Any] = {
        "pairs": judgement.pairs,
        "verdict": judgement.verdict,
        "e-value of harm": judgement.e_harm,
        "e-value of no harm": judgement.e_benefit,
        "mean loss, challenger minus champion": judgement.difference,
        "anytime-valid interval": (judgement.low, judgement.high),
    }
    alarmed = [check for check in judgement.guardrails if check.alarmed]
    facts |= {f"guardrail {check.subject}": check.detail or "alarmed" for check in alarmed}
    return {name: text(value) for name, value in facts.items()}


def _label(inner: Any, place: int) -> str:
    if isinstance(inner, dict):
        for key in ("policy", "subject", "gate", "name"):
            if key in inner:
                return str(inner[key])
    return str(place)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else str(value)
    return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1_000 else f"{value:.4g}"
