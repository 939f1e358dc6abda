"""Tables as exports write them go through reader, door and table and come back as what they mean, or are refused.

`--tables N` says how many tables are tried (60 by default; `make test-long` tries a thousand).
"""

from __future__ import annotations

import gc
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat import FileSource
from homeostat.ci.collect import collect
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import HomeostatError
from homeostat.core.ledger import Ledger
from homeostat.core.table.table import Table
from tests.tables.grammar import SLIPS, Slip, Style, meant, read_back, styles, written
from tests.tables.refusals import one_sentence

NOW = datetime(2060, 1, 1, tzinfo=UTC)
FEW = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)


def test_what_an_export_means_comes_back_or_is_refused(request: pytest.FixtureRequest, tmp_path: Path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    counted = {"tables": 0, "taken": 0, "refused": 0}

    @settings(FEW, max_examples=request.config.getoption("--tables"))
    @given(styles(), st.sampled_from(SLIPS), st.integers(0, 2**32))
    def holds(style: Style, slip: Slip, seed: int):
        counted["tables"] += 1
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            world = World(Path(folder), style, seed, ledger, f"t{counted['tables']}")
            world.takes(first=0, rows=60)
            counted["taken" if world.meets(slip, first=200) else "refused"] += 1
            world.takes(first=7_311, rows=20)
        if counted["tables"] % 200 == 0:
            gc.collect()

    holds()
    assert counted["taken"] > 0
    assert counted["refused"] > counted["tables"] // 4


class World:
    """A source and its table, and what the table should hold."""

    def __init__(self, folder: Path, style: Style, seed: int, ledger: Ledger, name: str) -> None:
        self.style, self.seed, self.ledger, self.name = style, seed, ledger, name
        self.data = folder / "data"
        self.data.mkdir()
        self.source = FileSource(self.data, time="at", key="id", target="y", **style.declared)
        self.table = Table(folder / "table", self.source.spec)
        self.kept: dict[Any, dict[str, Any]] = {}

    def takes(self, *, first: int, rows: int) -> None:
        """A good file is taken, and every row comes back as what it means."""
        values = meant(self.style, first, rows, self.seed)
        (self.data / f"good{first}{self.style.suffix}").write_bytes(written(self.style, values))
        self.collect()
        back = read_back(self.style, values)
        self.kept |= {key: {name: back[name][row] for name in back} for row, key in enumerate(back["id"])}
        found = self.rows()
        assert {key: found.get(key) for key in self.kept} == self.kept

    def meets(self, slip: Slip, *, first: int) -> bool:
        """A file in which something went wrong is taken or refused; either way the rows before it stay as they are."""
        file = self.data / f"odd{self.style.suffix}"
        good = written(self.style, meant(self.style, first, 40, self.seed))
        file.write_bytes(slip(good, random.Random(self.seed)))
        before = self.rows()
        try:
            self.collect()
        except HomeostatError as error:
            one_sentence(error)
            assert self.rows() == before
            file.unlink()
            return False
        found = self.rows()
        assert {key: found[key] for key in self.kept} == self.kept
        return True

    def collect(self) -> None:
        collect(self.source, self.table, self.ledger, self.name, VirtualClock(NOW))

    def rows(self) -> dict[Any, dict[str, Any]]:
        """What the table holds, by key."""
        return {row["id"]: row for row in self.table.read().iter_rows(named=True)}


@settings(FEW, max_examples=60)
@given(styles(), st.integers(0, 2**32))
def test_without_a_declaration_nothing_is_read_as_something_else(style: Style, seed: int):
    """Each column comes back as what it means, or as the text that stands in the file, or the file is refused."""
    values = meant(style, 0, 40, seed)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"rows{style.suffix}").write_bytes(written(style, values))
        plain = {name: value for name, value in style.declared.items() if name == "separator"}
        source = FileSource(folder, time="at", key="id", target="y", **plain)
        try:
            (part,) = source.parts()
            rows = Table(Path(folder) / "table", source.spec).conform(part.read())
        except HomeostatError as error:
            one_sentence(error)
            return
    back = read_back(style, values)
    assert rows.columns == list(back)
    for column in style.columns:
        raw = [None if value is None else column.write(value) for value in values[column.name]]
        found = rows[column.name].to_list()
        blank = [text if text is not None else (column.null or None) for text in raw]
        assert found in (back[column.name], raw, blank), column
