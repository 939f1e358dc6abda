"""`homeostat run`: one run of the pipeline."""

from __future__ import annotations

from typing import Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, ReasonOption, StoreOption, UserOption, open_loop, who


def run(
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run that did not succeed.")] = None,
    reason: ReasonOption = "homeostat run",
    user: UserOption = None,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Run the pipeline once.

    Collect, validate, analyze, train, evaluate, gate, register. What has not changed is taken from the cache; a run
    that was cut off is gone on with.
    """
    from homeostat.cli.outcome import carry_out
    from homeostat.engine import requests

    opened, declared = open_loop(store, loop, create=True)
    before = requests.run(opened, declared, user=who(user), reason=reason, resume=resume)
    carry_out(opened, declared, as_json=as_json, resume=before)
