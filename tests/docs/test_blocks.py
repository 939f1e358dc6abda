from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, commands, name

WITH_PYTHON = [page for page in PAGES if any(blocks(page, "python"))]
WITH_CONSOLE = [page for page in PAGES if any(commands(page))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path):
    lines = [""] * len(page.read_text(encoding="utf-8").splitlines())
    for start, code in blocks(page, "python"):
        lines[start - 1 : start - 1 + len(code)] = code
    script = tmp_path / f"{page.stem}.py"  # with the page's own line numbers, so that a traceback points into the page
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4_000:]


@pytest.mark.parametrize("page", WITH_CONSOLE, ids=name)
def test_the_commands_of_a_page_exist(page: Path):
    from homeostat.cli import verbs

    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = []
    for number, words in commands(page):
        known = {"homeostat": verbs(), "make": targets}.get(words[0])
        wanted = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
        if known is not None and wanted is not None and wanted not in known:
            unknown.append(f"line {number}: {' '.join(words)}")
    assert not unknown


@pytest.mark.parametrize("page", WITH_CONSOLE, ids=name)
def test_the_options_of_a_page_exist(page: Path):
    from homeostat.cli import options_of

    unknown = []
    for number, words in commands(page):
        if words[0] != "homeostat" or len(words) < 2 or words[1].startswith("-"):
            continue
        given = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
        unknown += [f"line {number}: {words[1]} {option}" for option in sorted(given - options_of(words[1]))]
    assert not unknown


def test_the_readme_shows_code_and_commands():
    readme = ROOT / "README.md"
    assert readme in WITH_PYTHON
    assert readme in WITH_CONSOLE


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_the_python_of_a_page_imports_packages_and_never_files(page: Path):
    """What a page shows stays true when a file of a package becomes a folder."""
    source, files = ROOT / "src", []
    for start, code in blocks(page, "python"):
        for offset, line in enumerate(code):
            found = re.match(r"\s*(?:from|import) (homeostat[\w.]*)", line)
            if found and not (source / found[1].replace(".", "/")).is_dir():
                files.append(f"line {start + offset}: {line.strip()}")
    assert not files
