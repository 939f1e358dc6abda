"""Writes the loop.py of `homeostat init`: a declaration that works, with the reason for every guess beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homeostat.engine.scaffold.guess import Guess, GuessedColumns


def render(guess: Guess, pattern: str) -> str:
    """The text of a loop.py."""
    name = loop_name(pattern, guess.target)
    task = guess.task_why
    source = [f"        {_quoted(pattern)},"]
    source += _argument("time", guess.time, single=True)
    source += _argument("key", guess.key, single=len(guess.key.columns) == 1)
    source += [f"        target={_quoted(guess.target)},  # {guess.task}: {task}"]
    source += _argument("label_time", guess.label_time, single=True)
    source += _declared_lines(guess)
    source += _ignore_lines(guess)
    lines = [
        '"""A loop that `homeostat init` wrote: every guess says why, so that you can correct it."""',
        "",
        f"# It looked at {guess.rows:,} rows over {guess.span}.",
        "",
        "import polars as pl",
        "",
        "from homeostat import FileSource, Loop, deploy, gates, how, when, where",
        "",
        "",
        "def features(rows: pl.DataFrame) -> pl.DataFrame:",
        '    """From raw columns to features, row by row; the same code runs in training and in serving."""',
        *_features(guess),
        "",
        "",
        "loop = Loop(",
        f"    name={_quoted(name)},",
        "    source=FileSource(",
        *source,
        "    ),",
        "    features=features,",
        "    model=None,  # a default that suits the schema; any scikit-learn estimator will do",
        f"    metric={_quoted(guess.metric)},",
        "    gates=[*gates.default()],  # champion and baselines; more: gates.at_least(...), gates.slices(COLUMN)",
        "    deploy=deploy.Canary(shadow_rows=2_000, steps=(0.05, 0.5)),",
        f"    when=when.every({_quoted(guess.every)}) | when.drift(psi=0.2),  # see `homeostat replay`",
        f"    {_refit(guess)}",
        *_test_lines(guess),
        "    where=where.Process(),  # a process of its own, so that training cannot slow the server down",
        ")",
    ]
    return "\n".join(lines) + "\n"


def _features(guess: Guess) -> list[str]:
    time = guess.time.columns[0] if guess.time.columns else ""
    if time not in guess.key.columns:
        return ["    return rows"]
    # Without this the model would know no hour and no weekday, and repeating the last label could well beat it.
    told = f"    # {time!r} is the key, which no model sees; under another name its hour and weekday are features."
    return [told, f"    return rows.with_columns(pl.col({_quoted(time)}).alias({_quoted(f'{time}_seen')}))"]


def _refit(guess: Guess) -> str:
    window = "" if guess.window is None else f"window={_quoted(guess.window)}"
    return f"how=how.Refit({window}),  # {guess.window_why}"


def _test_lines(guess: Guess) -> list[str]:
    if guess.test is None:
        return []
    return [f"    test={guess.test:g},  # a share of the {guess.rows:,} rows that leaves enough to test on"]


def _declared_lines(guess: Guess) -> list[str]:
    """How the files are written; what is ignored stands with the columns that tell the target."""
    told = {name: one for name, one in guess.declared.items() if name != "ignore"}
    return [f"        {name}={_literal(value)},  # {why}" for name, (value, why) in told.items()]


def loop_name(pattern: str, target: str) -> str:
    """A name made of the file and the target: lower-case letters, digits and hyphens."""
    parts = [part for part in re.split(r"[/\\]", pattern) if re.search(r"\w", part) and "*" not in part]
    stem = parts[-1].partition(".")[0] if parts else ""
    words = re.sub(r"[^a-z0-9]+", "-", f"{stem}-{target}".lower()).strip("-")
    return words[:63].strip("-") or "loop"


def _argument(name: str, part: GuessedColumns, *, single: bool) -> list[str]:
    if not part.columns:
        return [f"        # no {name}: {part.why}"]
    value = _quoted(part.columns[0]) if single else f"({', '.join(map(_quoted, part.columns))},)"
    return [f"        {name}={value},  # {part.why}"]


def _ignore_lines(guess: Guess) -> list[str]:
    said = guess.declared.get("ignore", ((), ""))[0]
    names = ", ".join(map(_quoted, (*said, *guess.leaks)))
    if not guess.leaks:
        return [f"        ignore=[{names}],  # as you said"] if said else []
    told = ", ".join(f"{column} ({told:.0%})" for column, told in guess.leaks.items())
    return [
        f"        # Each of these tells {guess.target!r} almost by itself, so it is probably its consequence: {told}.",
        "        # Take them out of this list if they are known before the prediction is asked.",
        f"        ignore=[{names}],",
    ]


def _literal(value: object) -> str:
    """A value as Python writes it, texts in double quotes."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(name)}: {_literal(one)}' for name, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_literal, value))}]"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """A text as Python writes it, in double quotes; JSON halves what is beyond 16 bits, which Python does not join."""
    return '"' + "".join(map(_letter, text)) + '"'


def _letter(letter: str) -> str:
    if letter == '"':
        return '\\"'
    plain = letter.isprintable() and letter != "\\"
    return letter if plain else letter.encode("unicode_escape").decode()
