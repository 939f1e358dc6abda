from __future__ import annotations

import pytest

from homeostat import load_loop, when
from homeostat.core.errors import LoopError
from homeostat.core.stats.losses import LOSSES, Loss

LOOP = """
from homeostat import FileSource, Loop, when

@when.POLICIES.register
class EveryOther(when.Policy, tag="every_other", frozen=True):
    @property
    def label(self):
        return "every other"

    def step(self, memory, look):
        return memory, when.Reading(fired=False, reason="no", evidence={})

loop = Loop(name="rides", source=FileSource("x.csv", time="t", target="y"), when=EveryOther())
"""


def test_a_declaration_with_a_policy_of_its_own_may_be_read_again(tmp_path):
    file = tmp_path / "loop.py"
    file.write_text(LOOP)
    try:
        for _ in range(2):
            assert type(load_loop(file).when) is when.POLICIES["every_other"]
    finally:
        del when.POLICIES["every_other"]


def test_what_homeostat_has_is_replaced_by_nobody():
    before = LOSSES["brier"]
    with pytest.raises(LoopError, match="there is a loss 'brier' already"):
        LOSSES.register(Loss(name="brier", task="classification", rows=before.rows))
    assert LOSSES["brier"] is before
