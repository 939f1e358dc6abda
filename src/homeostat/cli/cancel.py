"""`homeostat cancel`: stop the trial or the run in flight."""

from __future__ import annotations

from homeostat.cli.options import STORE, FileOption, JsonOption, ReasonOption, StoreOption, UserOption, open_loop, who


def cancel(
    reason: ReasonOption,
    user: UserOption = None,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Stop the trial or the run in flight.

    `homeostat up` ends the run if it is up, otherwise this command does: whoever works on it cannot register it.
    """
    from homeostat.cli.outcome import print_answer
    from homeostat.engine import requests

    print_answer(requests.cancel(*open_loop(store, loop), user=who(user), reason=reason), as_json=as_json)
