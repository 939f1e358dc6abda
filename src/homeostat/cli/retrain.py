"""`homeostat retrain`: train a new model now."""

from __future__ import annotations

from homeostat.cli.options import STORE, FileOption, JsonOption, ReasonOption, StoreOption, UserOption, open_loop, who


def retrain(
    reason: ReasonOption,
    user: UserOption = None,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Train a new model now.

    `homeostat up` does it if it is up, otherwise this command does.
    """
    from homeostat.cli.outcome import carry_out, print_answer
    from homeostat.engine import requests

    opened, declared = open_loop(store, loop)
    answer = requests.retrain(opened, declared, user=who(user), reason=reason)
    if not as_json:
        print_answer(answer, as_json=False)
    if not carry_out(opened, declared, as_json=as_json) and as_json:
        print_answer(answer, as_json=True)
