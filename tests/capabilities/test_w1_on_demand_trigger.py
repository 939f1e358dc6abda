"""W1: a retraining can be asked for; user and reason are mandatory and stored."""

from __future__ import annotations

import msgspec
import pytest

from homeostat.core import events as ev
from tests.engine.driver import Driver


def test_a_request_starts_a_run_that_names_user_and_reason() -> None:
    driver = Driver()
    driver.first_champion()
    (decided,) = driver.give(ev.RetrainRequested(loop="loop", user="ann", reason="new airport", request="r1"))
    (command,) = decided.commands
    assert isinstance(command, ev.Train)
    assert (command.trigger.kind, command.trigger.user, command.trigger.reason) == ("manual", "ann", "new airport")
    version = driver.register()
    stored = driver.ledger.event(driver.ledger.version("loop", version).seq).event
    assert isinstance(stored, ev.VersionRegistered)
    assert (stored.trigger.user, stored.trigger.reason) == ("ann", "new airport")


def test_a_request_without_user_or_reason_is_not_a_request() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"retrain_requested","loop":"l","request":"r"}', type=ev.AnyEvent)
