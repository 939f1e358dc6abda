"""`homeostat judge`: what the judge makes of a trial, as an exit code for jobs that wait for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import STORE, JsonOption, LoopOption, StoreOption, open_named
from homeostat.cli.output import print_facts, print_json
from homeostat.core.errors import NotFoundError, StoreError

if TYPE_CHECKING:
    from homeostat.cd.deploy.verdict_api import Standing

NOT_PASSED = 3
_SECONDS = 10.0

PassOption = Annotated[
    str,
    typer.Option("--pass", metavar="VERDICTS", help="Verdicts that end with exit code 0, with commas between them."),
]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Ask a running server there, instead of the store here.")
]


def judge(
    passes: PassOption = "promote,continue",
    url: UrlOption = None,
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Say what the judge makes of the running or the last trial; exit code 3 when that does not pass."""
    from homeostat.cd.deploy.verdict_api import passing, standing

    wanted = passing([one.strip() for one in passes.split(",")])
    if url is not None:
        found = _of_server(url)
    else:
        opened, name = open_named(store, loop)
        found = standing(opened.ledger, name)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.verdict not in wanted:
        raise typer.Exit(NOT_PASSED)


def _of_server(url: str) -> Standing:
    """The standing that a server tells, with the token of the environment."""
    import urllib.error
    import urllib.request

    import msgspec

    from homeostat.cd.deploy.verdict_api import Standing
    from homeostat.cd.serve.listen import TOKEN_VARIABLE

    if not url.startswith(("http://", "https://")):
        raise StoreError(f"{url[:100]!r} is no address of a server", hint="as in --url http://127.0.0.1:8080")
    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url.rstrip("/") + "/judge", headers=headers)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310
            return msgspec.json.decode(reply.read(), type=Standing)
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")[:500]
        raise NotFoundError(f"the server at {url} answers {error.code}: {answer}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise StoreError(f"the server at {url} does not answer: {error}", hint="is `homeostat up` running?") from error
    except msgspec.MsgspecError as error:
        raise StoreError(f"what answers at {url} is no Homeostat server: {error}") from error


def _print(found: Standing) -> None:
    facts = {
        "loop": found.loop,
        "trial": f"version {found.challenger} against version {found.champion}, "
        + ("on" if found.running else f"{found.outcome}"),
        "verdict": f"{found.verdict}: {found.reason}",
    }
    if found.judgement is not None:
        one = found.judgement
        facts["evidence"] = f"e of harm {one.e_harm:.3g}, of no harm {one.e_benefit:.3g}, after {one.pairs:,} rows"
        alarmed = [check.subject for check in one.guardrails if check.alarmed]
        facts["guardrails"] = ", ".join(alarmed) or "none alarms"
    print_facts(facts)
