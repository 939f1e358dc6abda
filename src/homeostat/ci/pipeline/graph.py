"""The graph of a pipeline: plain functions, wired by the names of their parameters and checked whole."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from homeostat.core.errors import LoopError

_REQUIRED = inspect.Parameter.empty
_MOST_PROBLEMS = 20


@dataclass(frozen=True, repr=False)
class Step:
    """A function with a name and what it needs.

    Attributes:
        name: The name under which later steps take its output.
        needs: Its positional parameters: names of earlier steps or of inputs of the run.
        settings: Its keyword-only parameters and their defaults.
    """

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Step(name={self.name!r}, needs={self.needs!r}, settings={dict(self.settings)!r})"


def step(function: Callable[..., Any], *, name: str | None = None) -> Step:
    """A step from a function, under its own name or another one.

    Example:
        >>> def clean(rows, *, low=0): ...
        >>> step(clean)
        Step(name='clean', needs=('rows',), settings={'low': 0})
    """
    made, problems = _step(function, name)
    if problems:
        raise LoopError("; ".join(problems))
    return made


@dataclass(frozen=True)
class Graph:
    """Steps in an order in which each comes after what it needs.

    Attributes:
        steps: Step name to step, in running order.
        inputs: Names that no step provides: the run must be given them.
    """

    steps: dict[str, Step]
    inputs: tuple[str, ...]

    def takers(self) -> dict[str, list[str]]:
        """Step name to the steps that take its output."""
        takers: dict[str, list[str]] = {name: [] for name in self.steps}
        for each in self.steps.values():
            for need in each.needs:
                if need in takers:
                    takers[need].append(each.name)
        return takers

    def resolve(self, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The settings of every step, after checking that the run was given what it needs.

        Settings are called `step.setting`.

        Raises:
            LoopError: missing or unknown inputs and settings, all of them at once.
        """
        problems = [f"input `{name}` is missing{_like(name, [*inputs, *self.steps])}" for name in self.inputs]
        problems = [problem for name, problem in zip(self.inputs, problems, strict=True) if name not in inputs]
        for name in inputs:
            if name in self.steps:
                problems.append(f"input `{name}` has the name of a step: rename one of them")
            elif name not in self.inputs:
                problems.append(f"no step takes the input `{name}`{_like(name, self.inputs)}")
        resolved = {name: dict(step.settings) for name, step in self.steps.items()}
        known = [f"{name}.{setting}" for name, step in self.steps.items() for setting in step.settings]
        for dotted, value in settings.items():
            if dotted in known:
                owner, _, setting = dotted.rpartition(".")
                resolved[owner][setting] = value
            else:
                problems.append(f"no step has the setting `{dotted}`{_like(dotted, known)}")
        for owner, values in resolved.items():
            problems += [
                f"setting `{owner}.{setting}` is missing: it has no default"
                for setting, value in values.items()
                if value is _REQUIRED
            ]
        _raise(problems, "the run cannot start")
        return resolved


def build(functions: Iterable[Callable[..., Any] | Step], inputs: Iterable[str] | None = None) -> Graph:
    """Wire functions into a graph.

    Args:
        functions: Functions or steps; positional parameters name earlier steps or inputs.
        inputs: The inputs that a run will give. When stated, any other unknown name is refused here and not later.

    Raises:
        LoopError: every wiring mistake at once.
    """
    steps: dict[str, Step] = {}
    problems: list[str] = []
    for item in functions:
        made, found = (item, []) if isinstance(item, Step) else _step(item, None)
        problems += found
        if made.name in steps:
            problems.append(f"two steps are called `{made.name}`: give one another name with step(function, name=...)")
        steps.setdefault(made.name, made)
    if not steps and not problems:
        problems.append("a pipeline needs at least one step")
    needed = dict.fromkeys(name for each in steps.values() for name in each.needs if name not in steps)
    problems += _unknown(steps, needed, inputs)
    try:
        order = list(TopologicalSorter({name: each.needs for name, each in steps.items()}).static_order())
    except CycleError as error:
        problems.append(f"steps need each other in a circle: {' -> '.join(f'`{name}`' for name in error.args[1])}")
        order = []
    _raise(problems, "the pipeline does not hold together")
    declared = [name for name in steps if name in order]
    return Graph({name: steps[name] for name in _stable(declared, steps)}, tuple(needed))


def _stable(declared: list[str], steps: dict[str, Step]) -> list[str]:
    """Running order that keeps the declared order wherever the wiring allows it."""
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        stack = [name]
        while stack:
            waiting = [need for need in steps[stack[-1]].needs if need in steps and need not in placed]
            if waiting:
                stack.append(waiting[0])
            else:
                placed.setdefault(stack.pop())

    for name in declared:
        place(name)
    return list(placed)


def _unknown(steps: dict[str, Step], needed: Iterable[str], inputs: Iterable[str] | None) -> list[str]:
    if inputs is None:
        return []
    given = list(inputs)
    problems = [
        f"`{name}`, which {' and '.join(f'`{each.name}`' for each in steps.values() if name in each.needs)} takes, "
        f"is neither a step nor an input{_like(name, [*steps, *given])}"
        for name in needed
        if name not in given
    ]
    return problems + [f"input `{name}` has the name of a step: rename one of them" for name in given if name in steps]


def _step(function: Callable[..., Any], name: str | None) -> tuple[Step, list[str]]:
    """A step and what is wrong with it."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = str(name or getattr(inner, "__name__", type(function).__name__))
    problems: list[str] = []
    if not name.isidentifier():
        problems.append(f"{name} cannot be the name of a step: give it one with step(function, name=...)")
    if inspect.iscoroutinefunction(inner) or inspect.isgeneratorfunction(inner):
        problems.append(f"step `{name}` is a coroutine or generator: make it a function that returns its output")
    needs: list[str] = []
    settings: dict[str, Any] = {}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Step(name, function, ()), [f"step `{name}` ({function!r:.60}) is not a function with a signature"]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            problems.append(f"step `{name}` takes {stars}{parameter.name}: name each parameter instead")
        elif parameter.kind is parameter.KEYWORD_ONLY:
            settings[parameter.name] = parameter.default
        elif parameter.default is not _REQUIRED:
            hint = f"put `*,` before it to make it a setting: ({', '.join([*needs, '*', parameter.name])}=...)"
            problems.append(f"parameter `{parameter.name}` of step `{name}` has a default but is positional: {hint}")
        else:
            needs.append(parameter.name)
    return Step(name, function, tuple(needs), settings), problems


def _like(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _raise(problems: list[str], what: str) -> None:
    if problems:
        shown = problems[:_MOST_PROBLEMS]
        more = [f"and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
        hint = "positional parameters name earlier steps or inputs; keyword-only parameters are settings"
        raise LoopError(f"{what}: " + "\n  - ".join(["", *shown, *more]).strip(" "), hint=hint)
