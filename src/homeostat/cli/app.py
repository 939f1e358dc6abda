"""Puts the verbs together, and turns every error into one clear message and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from homeostat.cli.output import say
from homeostat.core.errors import HomeostatError

_VERBS = (
    *("demo", "init"),
    *("run", "up"),
    *("status", "why", "explain", "runs", "versions"),
    *("retrain", "promote", "rollback", "cancel", "judge"),
    *("card", "export", "import_"),
    *("serve", "package"),
    *("infer", "stream", "labels", "replay"),
    *("rows", "accept_schema"),
    *("verify", "anchor", "doctor"),
)
"""Each is a function in the file of its name, in the order of `homeostat --help`."""

_CLOSED_PIPE = 141
_INTERRUPTED = 130


def _typed(verb: str) -> str:
    return verb.rstrip("_").replace("_", "-")


app = typer.Typer(
    name="homeostat",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help appears in a third of the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _verb in _VERBS:
    app.command(_typed(_verb))(getattr(import_module(f"homeostat.cli.{_verb}"), _verb))


def _version(wanted: bool) -> None:
    if wanted:
        from homeostat.core.version import VERSION

        say(f"homeostat {VERSION}")
        raise typer.Exit


@app.callback()
def homeostat(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps machine-learning models at their set point.

    Start with `homeostat demo`, or with `homeostat init TABLE --target COLUMN` on your own data.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit: 0 done, 1 our fault or try again, 2 for the user to mend, 3 the judge says no."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # where a letter cannot be shown, its number is
            stream.reconfigure(errors="backslashreplace")
    try:
        app(None if arguments is None else list(arguments))
    except HomeostatError as error:
        _print_error(error)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            _leave()
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_CLOSED_PIPE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets one line and not a traceback
        _print_fault(error)
        sys.exit(1)
    sys.exit(0)


def verbs() -> set[str]:
    """Names of all verbs."""
    return {_typed(verb) for verb in _VERBS}


def options_of(verb: str) -> set[str]:
    """The options of a verb, with both dashes."""
    command: Any = typer.main.get_command(app)
    chosen = command.commands[verb]
    return {name for parameter in chosen.params for name in parameter.opts if name.startswith("-")} | {"--help", "-h"}


def _leave() -> NoReturn:
    """End at once after Ctrl-C: a step that still computes in a thread would hold the process until it is done."""
    say("interrupted; what was done is recorded, and `homeostat run` goes on from there", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_INTERRUPTED)


def _print_error(error: HomeostatError) -> None:
    if os.environ.get("HOMEOSTAT_DEBUG"):
        raise error
    say(f"error: {error.what}", err=True, lines=True)
    if error.hint:
        say(f"hint: {error.hint}", err=True, lines=True)


def _print_fault(error: Exception) -> None:
    if os.environ.get("HOMEOSTAT_DEBUG"):
        raise error
    import tempfile
    import traceback
    from pathlib import Path

    from homeostat.core.clock import new_id

    what = str(error).strip().partition("\n")[0][:300]
    say(f"error: {type(error).__name__}: {what} (a fault in Homeostat, not in what you asked)", err=True)
    try:
        path = Path(tempfile.gettempdir()) / new_id("homeostat-error-")
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        say(f"hint: the full traceback is in {path}", err=True)
    except OSError:
        say("hint: HOMEOSTAT_DEBUG=1 shows the full traceback", err=True)
