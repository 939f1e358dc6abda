"""One run after another of a small loop that is edited in between, as people do; no loop is up."""

from __future__ import annotations

from pathlib import Path

from homeostat.core import events as ev
from homeostat.core.store import Store
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.training import carry_out
from homeostat.loop import load_loop
from tests.engine.live_world import BEGIN, write_world

GATES = "gates=[gates.not_worse_than_champion(margin=0.02)]"
MODEL = "model=LogisticRegression()"
SLOW = """
import time

class Own(LogisticRegression):
    def __init__(self, device="cpu", seconds=0.0):
        super().__init__(C=0.2)  # else it would tie with the champion, which is another refusal
        self.device, self.seconds = device, seconds

    def predict_proba(self, rows):
        time.sleep(self.seconds)
        return super().predict_proba(rows)

def features"""


class Project:
    """A loop's file and its store.

    Args:
        folder: Where both lie.
        gates: The loop's gates, as in `gates.load()`.
        more: Further arguments of the Loop.
    """

    def __init__(self, folder: Path, gates: str, more: str = "") -> None:
        self.file = write_world(folder, policy="when.never()")
        text = self.file.read_text().replace(GATES, f"gates=[{gates}],\n    {more}".rstrip(",\n "))
        self.file.write_text(text.replace("\ndef features", SLOW))
        self.store = Store.open(folder / "store")

    def edit(self, before: str, after: str) -> None:
        """Change the loop's file."""
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))

    def run(self) -> ev.VersionRegistered:
        """Train and register, as `homeostat run` does; gives what was registered."""
        loop = load_loop(self.file)
        feed = Feed(self.store.ledger, Rules.of(loop))
        number = self.store.ledger.newest()
        feed.give(ev.RetrainRequested(loop=loop.name, user="ann", reason="test", request=str(number)), time=BEGIN)
        trigger = feed.catch_up().inflight
        assert trigger is not None
        version = carry_out(self.store, loop, trigger.key, played=True, raising=True)
        assert version is not None
        event = self.store.ledger.event(self.store.ledger.version(loop.name, version).seq).event
        assert isinstance(event, ev.VersionRegistered)
        return event

    def state(self, version: int) -> str:
        """What the registry says of a version."""
        return self.store.ledger.version("world", version).state

    @property
    def champion(self) -> int | None:
        """The champion's version."""
        row = self.store.ledger.champion("world")
        return row.version if row else None


def gate(event: ev.VersionRegistered, name: str) -> ev.GateResult:
    """One verdict of a registered version."""
    return next(one for one in event.gates if one.gate == name)


def refused_by(event: ev.VersionRegistered) -> list[str]:
    """The gates that refused a version."""
    return [one.gate for one in event.gates if not one.passed]
