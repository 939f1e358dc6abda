"""`homeostat promote`: make a version the champion, or try it."""

from __future__ import annotations

from typing import Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, ReasonOption, StoreOption, UserOption, open_loop, who


def promote(
    version: Annotated[int, typer.Argument(help="The version.")],
    reason: ReasonOption,
    user: UserOption = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="Put it through shadow and canary instead of at once.")
    ] = False,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion, or try it.

    At once, or with --trial through shadow and canary. Gates that refused it are overruled, on record; those that
    guard a promise (NaN, a tie, too few rows, another schema) are not.
    """
    from homeostat.cli.outcome import print_answer
    from homeostat.engine import requests

    answer = requests.promote(*open_loop(store, loop), version, user=who(user), reason=reason, trial=trial)
    print_answer(answer, as_json=as_json)
