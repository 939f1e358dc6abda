"""`homeostat rollback`: go back to an earlier champion."""

from __future__ import annotations

from typing import Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, ReasonOption, StoreOption, UserOption, open_loop, who


def rollback(
    reason: ReasonOption,
    version: Annotated[
        int | None, typer.Argument(help="The version to go back to; the previous one by default.")
    ] = None,
    user: UserOption = None,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Go back to an earlier champion at once."""
    from homeostat.cli.outcome import print_answer
    from homeostat.engine import requests

    answer = requests.rollback(*open_loop(store, loop), version, user=who(user), reason=reason)
    print_answer(answer, as_json=as_json)
