"""Reads the project's Markdown pages: their code blocks and their links, with line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def name(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> Iterator[tuple[int, list[str]]]:
    """Each fenced block in that language: the number of its first line, and its lines."""
    inside, start, lines = "", 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```(\w*)", line)
        if fence and inside:
            if inside == language:
                yield start, lines
            inside = ""
        elif fence:
            inside, start, lines = fence[1] or "text", number + 1, []
        elif inside:
            lines.append(line)


def commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Each command typed at a `$` prompt of a console block, as words."""
    for start, lines in blocks(page, "console"):
        for offset, line in enumerate(lines):
            if line.startswith("$ "):
                yield start + offset, line[2:].partition("#")[0].split()


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Each relative link's target, without its fragment."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if not re.match(r"[a-z]+:", target) and not target.startswith("#"):
                yield number, target.partition("#")[0]
