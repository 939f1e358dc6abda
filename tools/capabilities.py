"""Writes docs/capabilities.md: every row of the capability table, and whether an acceptance test shows that it works.

A row works when tests/capabilities/test_<id>_<name>.py exists and holds at least one test function. A test compares the
written page with what this script would write, and the tests themselves run with all others, so the page cannot lie.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tools" / "capabilities.toml"
TESTS = ROOT / "tests" / "capabilities"
PAGE = ROOT / "docs" / "capabilities.md"


def render(table: Path = TABLE, tests: Path = TESTS) -> str:
    """The page, from the table and the tests that are there.

    Raises:
        ValueError: When a test file names a row that the table does not have, or holds no test.
    """
    rooms = tomllib.loads(table.read_text(encoding="utf-8"))
    found = acceptance_tests(tests)
    ids = {row for room in rooms.values() for row in room["rows"]}
    if strangers := sorted(found.keys() - ids):
        msg = f"acceptance tests for rows that the table does not have: {', '.join(strangers)}"
        raise ValueError(msg)
    lines = [
        "# Capabilities",
        "",
        "What a complete system for CI, CD and CT of models must be able to do, and what of it works here. A row works",
        "when its acceptance test exists and passes; `make capabilities` writes this page and a test compares it.",
        "",
        f"{len(found)} of {len(ids)} rows work.",
    ]
    for letter, room in rooms.items():
        lines += ["", f"## {letter}. {room['title']}", "", "| id | capability | state |", "| --- | --- | --- |"]
        lines += [f"| {row} | {text} | {_state(found.get(row, []))} |" for row, text in room["rows"].items()]
    return "\n".join(lines) + "\n"


def acceptance_tests(folder: Path) -> dict[str, list[tuple[str, list[str]]]]:
    """Row id to its (file name, names of test functions)."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for path in sorted(folder.glob("test_*.py")):
        match = re.match(r"test_([a-z]\d+)_\w+\.py$", path.name)
        if not match:
            msg = f"{path.name} is not called test_<id>_<name>.py"
            raise ValueError(msg)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        if not names:
            msg = f"{path.name} holds no test"
            raise ValueError(msg)
        found.setdefault(match[1].upper(), []).append((path.name, names))
    return found


def _state(files: list[tuple[str, list[str]]]) -> str:
    if not files:
        return "not yet"
    return "works: " + ", ".join(
        f"[{name.removesuffix('.py')}](../tests/capabilities/{name}) ({len(tests)} test{'s' * (len(tests) > 1)})"
        for name, tests in files
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == render() else 1)
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
