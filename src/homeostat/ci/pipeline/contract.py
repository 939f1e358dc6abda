"""What a step promises: an output of its declared type, stored under its hash, and a record that leaves no blank."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import sys
import types
import typing
from typing import TYPE_CHECKING, Any

from homeostat.ci.pipeline.record import start_of
from homeostat.core import codecs
from homeostat.core import events as ev
from homeostat.core.errors import HomeostatError, IntegrityError, InternalError, LoopError

if TYPE_CHECKING:
    from homeostat.ci.pipeline.graph import Step
    from homeostat.ci.pipeline.pipeline import Pipeline
    from homeostat.core.store import Store

_UNIONS = (typing.Union, types.UnionType)
_STEP_FIELDS = ("run", "step", "parts", "outcome", "why", "started", "ended")


def check_declared(step: Step, value: Any) -> None:
    """Hold a step's output against its return annotation."""
    declared = declared_type(step.function)
    if declared is None or isinstance(value, declared) or (declared is float and isinstance(value, int)):
        return
    what = f"step `{step.name}` declares that it returns {_type_name(declared)} but returned {_type_name(type(value))}"
    hint = "does it end in `return`?" if value is None else "mend the annotation or the return value"
    raise LoopError(what, hint=hint)


def check_run(store: Store, run: str, pipeline: Pipeline | None = None) -> None:
    """Verify that every output of a run is there, whole, readable and of its declared type, and its record complete.

    Args:
        store: The store.
        run: A run's id, or a unique beginning of it.
        pipeline: The pipeline that ran, for the declared types; without it types are not checked.

    Raises:
        IntegrityError: lists every output that is missing, damaged or mistyped, and every blank in the record.
    """
    row = store.ledger.run(run)
    _, begun = start_of(store.ledger, row)
    steps = {
        each.event.step: each.event for each in store.ledger.steps(row.run) if isinstance(each.event, ev.StepFinished)
    }
    problems = [f"its environment has no `{name}`" for name in blanks(begun.environment)]
    problems += [f"step `{name}` left no record" for name in begun.steps if name not in steps]
    for name, record in steps.items():
        problems += [f"the record of step `{name}` has no `{field}`" for field in blanks(record, _STEP_FIELDS)]
        problems += _output_problems(store, record, pipeline.step(name) if pipeline else None)
    for name, given in begun.inputs.items():
        if "artifact" in given:
            problems += _artifact_problems(store, given["artifact"], f"input `{name}`")[0]
    if problems:
        listed = "\n  - ".join(["", *problems])
        raise IntegrityError(f"run {row.run} is not whole:{listed}", hint="run it again: only what is missing will run")


def blanks(event: Any, names: tuple[str, ...] | None = None) -> list[str]:
    """The fields of a record that are empty; all fields are looked at when no names are given."""
    return [name for name in names or event.__struct_fields__ if getattr(event, name) in (None, "")]


def refuse_blanks(event: Any, what: str) -> None:
    """Refuse a record of which a field is empty: a run that cannot say what it ran on is no record."""
    empty = blanks(event)
    if empty:
        shown = ", ".join(f"`{name}`" for name in empty)
        hint = "`homeostat doctor` shows the environment that is recorded with every run"
        raise InternalError(f"{what} has no {shown}", hint=hint)


def _output_problems(store: Store, record: ev.StepFinished, step: Step | None) -> list[str]:
    if record.outcome == "failed":
        return [f"step `{record.step}` failed: {record.error}"]
    if record.output is None:
        return [f"step `{record.step}` has no output"]
    problems, value = _artifact_problems(store, record.output, f"the output of step `{record.step}`")
    if not problems and step is not None:
        try:
            check_declared(step, value)
        except LoopError as error:
            problems.append(error.what)
    return problems


def _artifact_problems(store: Store, name: str, whose: str) -> tuple[list[str], Any]:
    try:
        return [], codecs.decode(store.artifacts.get(name), store.artifacts)
    except HomeostatError as error:
        return [f"{whose}: {error.what}"], None


def declared_type(function: Any) -> Any:
    """The declared return type as something `isinstance` takes; None when there is none, or it cannot be resolved."""
    function = inspect.unwrap(getattr(function, "func", function))
    declared = getattr(function, "__annotations__", {}).get("return", Any)
    if isinstance(declared, str):
        try:
            names = _Names(getattr(function, "__globals__", {}))
            declared = eval(declared, {}, names)  # noqa: S307 - the annotation of a function that is about to be called
        except Exception:  # noqa: BLE001 - a name that cannot be resolved without importing something
            return None
    if declared is None:
        return type(None)
    kinds = typing.get_args(declared) if typing.get_origin(declared) in _UNIONS else (declared,)
    plain = tuple(typing.get_origin(kind) or kind for kind in kinds)
    try:
        isinstance(None, plain)
    except TypeError:  # Any, a protocol, a type variable
        return None
    return plain if len(plain) > 1 else plain[0]


class _Names(dict[str, Any]):
    """The names of a module, with those that it imports for type checkers only, as far as they are loaded anyway."""

    def __missing__(self, name: str) -> Any:
        module, attribute = _imports_of(self["__file__"])[name]
        found = sys.modules[module]
        return getattr(found, attribute) if attribute else found


@functools.cache
def _imports_of(filename: str) -> dict[str, tuple[str, str | None]]:
    tree = ast.parse("".join(linecache.getlines(filename)))
    found: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update({each.asname or each.name: (node.module, each.name) for each in node.names})
        elif isinstance(node, ast.Import):
            found.update({each.asname or each.name: (each.name, None) for each in node.names})
    return found


def _type_name(kind: Any) -> str:
    return " or ".join(map(_type_name, kind)) if isinstance(kind, tuple) else kind.__qualname__
