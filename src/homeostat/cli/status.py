"""`homeostat status`: where the loop stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.cli.options import STORE, JsonOption, LoopOption, StoreOption, open_named
from homeostat.cli.output import print_facts, print_json

if TYPE_CHECKING:
    from homeostat.engine.views.status import Status


def status(loop: LoopOption = None, store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Show where the loop stands."""
    from homeostat.engine.views import status as view
    from homeostat.engine.views.why.events import one_line

    found = view.status(*open_named(store, loop))
    if as_json:
        print_json(found)
        return
    champion, run = found.champion, found.newest_run
    facts = {
        "loop": found.loop,
        "in charge": found.in_charge or "nobody (`homeostat up` takes charge)",
        "serving at": found.url or "nowhere",
        "champion": f"version {champion.version} since {champion.since:%Y-%m-%d %H:%M}" if champion else "none yet",
        "traffic": ", ".join(f"version {arm.version} {arm.role} {arm.share:.0%}" for arm in found.arms) or "none",
        "versions, runs": f"{found.versions}, {found.runs}",
        "newest run": f"{run.run} {run.status}: {(run.error or run.reason).partition(chr(10))[0]}"
        if run
        else "none yet",
        **({"data refused": "; ".join(found.data_refused)} if found.data_refused else {}),
        "labels": _labels(found),
        "last observation": one_line(found.last_observation) if found.last_observation else "none yet",
        "last decision": one_line(found.last_decision) if found.last_decision else "none yet",
    }
    print_facts(facts)


def _labels(found: Status) -> str:
    """What became of the labels of the log, as the loop saw them last."""
    counts = found.joined
    if counts is None:
        return "not counted yet (`homeostat up` does)"
    if not counts.labels:
        return "none yet"
    parts = {
        "joined": counts.joined,
        "repeated": counts.repeated_labels,
        "conflicting": counts.conflicting_labels,
        "unknown": counts.unknown_labels + counts.forgotten_labels,
    }
    words = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count or name == "joined")
    return f"{words}; {found.unlabelled:,} of {counts.predictions:,} answered rows have none"
