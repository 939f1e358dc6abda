"""W1: a retraining can be asked for; user and reason are mandatory and stored."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from homeostat.cli import main
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


@pytest.mark.parametrize("verb", [["run"], ["retrain"], ["promote", "1"], ["rollback"], ["cancel"]])
@pytest.mark.parametrize("blank", ["--reason", "--user"])
@pytest.mark.parametrize("given", ["", " \t"])
def test_a_blank_user_or_reason_is_refused_at_the_command_line(
    verb: list[str], blank: str, given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"--reason": "new airport", "--user": "ann", blank: given}
    words = [*verb, *(word for pair in said.items() for word in pair), "--store", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert f"error: {blank} is blank" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
