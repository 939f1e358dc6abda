"""Sets the slips of tests/mutants/*.toml into copies of the project, one by one, and counts those that tests notice.

A slip is named by its room and its function, so that the lists survive moves. `make mutants` runs all of them;
`ONLY="--room core --slip fence"` those that match. CONTRIBUTING.md says how an entry is written.
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "tests" / "mutants"
PARTS = ("ledger", "feed", "decide", "judge", "evidence", "gates", "replay", "when")  # that decide
BAR_OF_A_PART = 0.9
BAR_ELSEWHERE = 0.8
NOTICED = ("died", "hung")
LIMIT = 600.0  # seconds for test files without a slip
PYTEST = ("-m", "pytest", "-xq", "-n0", "-pno:cacheprovider", "--tb=short", "--durations=0", "-m", "not long")


@dataclass(frozen=True)
class Mutant:
    """One slip, and the tests that ought to notice it."""

    room: str
    slip: str
    function: str
    find: str
    put: str
    tests: tuple[str, ...]
    file: str | None = None
    part: str | None = None

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.room} {self.function or self.file}: {self.slip}"


class Outcome(NamedTuple):
    """What the tests said: "lived", "died", "hung", or why this says nothing of the slip."""

    word: str
    seconds: float
    output: str


class UnfitError(ValueError):
    """An entry of a list does not fit the project any more."""


def read(lists: Path = LISTS) -> list[Mutant]:
    """Every entry, in the order of the lists.

    Raises:
        UnfitError: When an entry has too few or unknown fields, or names no part.
    """
    found = []
    for path in sorted(lists.glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
            try:
                mutant = Mutant(room=path.stem, **{**entry, "tests": tuple(sorted(entry["tests"]))})
            except (KeyError, TypeError) as error:
                raise UnfitError(f"{path.name}: {entry.get('slip')}: {error}") from error
            if mutant.part not in (None, *PARTS):
                raise UnfitError(f"{mutant}: there is no part {mutant.part!r}, only {', '.join(PARTS)}")
            found.append(mutant)
    return found


def mutated(mutant: Mutant, root: Path = ROOT) -> tuple[Path, str]:
    """The file that the slip is in, relative to the root, and its text with the slip.

    Raises:
        UnfitError: When the text is not found exactly once in the function, or what stands there then is no Python.
    """
    found = []
    for path in sorted((root / "src" / "homeostat" / mutant.room).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        fits = mutant.file in {None, path.parent.name if path.stem == "__init__" else path.stem}
        for start, end in _stretches(text, mutant.function) if fits and mutant.find in text else ():
            found += [(path, text, start + hit.start()) for hit in re.finditer(re.escape(mutant.find), text[start:end])]
    if len(found) != 1:
        raise UnfitError(f"{mutant}: the text is there {len(found)} times: {mutant.find!r}")
    path, text, at = found[0]
    changed = text[:at] + mutant.put + text[at + len(mutant.find) :]
    try:
        ast.parse(changed)
    except SyntaxError as error:
        raise UnfitError(f"{mutant}: with the slip {path.name} is no Python: {error}") from error
    return path.relative_to(root), changed


def _stretches(text: str, name: str) -> Iterator[tuple[int, int]]:
    """From where to where the functions or classes of this qualified name stand in the text; "" is all of it."""
    if not name:
        yield 0, len(text)
        return
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for node in _named(ast.parse(text), name.split(".")):
        yield starts[min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1], starts[node.end_lineno or 0]


def _named(tree: ast.AST, names: list[str]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == names[0]:
                yield from _named(node, names[1:]) if names[1:] else [node]
        else:  # a definition may stand below an `if`
            yield from _named(node, names)


def files_of(mutant: Mutant, root: Path = ROOT) -> list[str]:
    """Where the tests of a mutant are, relative to the root.

    Raises:
        UnfitError: When no test file, or more than one, is called so.
    """
    files = []
    for stem in mutant.tests:
        there = sorted((root / "tests").rglob(f"{stem}.py"))
        if len(there) != 1:
            raise UnfitError(f"{mutant}: {len(there)} test files are called {stem}")
        files.append(str(there[0].relative_to(root)))
    return files


_Job = tuple[Mutant | None, tuple[str, ...], float]
"""A slip or none, the test files, and the seconds that they may take."""


class Bench:
    """A copy of the project that slips are set into, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "copy"
        self._temporary = folder / "temporary"
        self._set = 0
        # Whole, and no links: tests find the documents and the sources from where they are themselves.
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(".*", "__pycache__", "homeostat-demo*"))
        # Compiled once. A slip gets a time of its own, so that what was compiled without it does not stand for it.
        subprocess.run([sys.executable, "-m", "compileall", "-q", "src"], cwd=self.root, check=True)

    def run(self, mutant: Mutant | None, tests: tuple[str, ...], limit: float) -> Outcome:
        """What the tests say with this slip, or without one."""
        if mutant is None:
            return self._tests(tests, limit)
        path, text = mutated(mutant, self.root)
        file = self.root / path
        kept, stamp = file.read_bytes(), file.stat().st_mtime
        self._set += 1
        try:
            file.write_text(text, encoding="utf-8")
            os.utime(file, (stamp + self._set, stamp + self._set))
            return self._tests(tests, limit)
        finally:
            file.write_bytes(kept)
            os.utime(file, (stamp, stamp))

    def _tests(self, tests: tuple[str, ...], limit: float) -> Outcome:
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environment = {**os.environ, **one_thread, "PYTHONPATH": str(self.root / "src")}
        begin = time.perf_counter()
        with (self.root.parent / "output").open("w+b") as output:
            words = [sys.executable, *PYTEST, f"--basetemp={self._temporary}", *tests]
            ends = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
            process = subprocess.Popen(words, cwd=self.root, env=environment, process_group=0, **ends)
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):  # also what the tests started and, killed by the slip, did not end
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            said = output.read().decode(errors="replace")
        # 1: a test failed; 2: a module cannot even be imported. Anything else says nothing of the slip.
        word = {None: "hung", 0: "lived", 1: "died", 2: "died"}.get(code, f"pytest ended with {code}")
        return Outcome(word, time.perf_counter() - begin, said)


def run_all(mutants: list[Mutant], workers: int) -> tuple[dict[Mutant, Outcome], list[str]]:
    """What became of each mutant, and what does not fit.

    A set of test files is first run without a slip: it has to pass, and says how long it may take with one.
    """
    outcomes: dict[Mutant, Outcome] = {}
    by_tests: dict[tuple[str, ...], list[Mutant]] = {}
    unfit = []
    for mutant in mutants:
        try:
            mutated(mutant)
            by_tests.setdefault(tuple(files_of(mutant)), []).append(mutant)
        except UnfitError as error:
            unfit.append(str(error))
    jobs: list[_Job] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(workers) as pool:
        benches: queue.Queue[Bench] = queue.Queue()
        for bench in pool.map(Bench, [Path(folder) / str(number) for number in range(workers)]):
            benches.put(bench)
        for (_, tests, _), outcome in _run(pool, benches, [(None, tests, LIMIT) for tests in by_tests]):
            print(f"without a slip: {outcome.seconds:5.1f} s  {' '.join(tests)}", flush=True)
            if outcome.word == "lived":
                jobs += [(mutant, tests, 60 + 5 * outcome.seconds) for mutant in by_tests[tests]]
            else:
                unfit.append(f"without any slip the tests do not pass ({outcome.word}): {' '.join(tests)}")
                print(outcome.output[-3000:])
        for (mutant, _, _), outcome in _run(pool, benches, jobs):
            outcomes[mutant] = outcome
            print(f"[{len(outcomes):3}/{len(jobs)}] {outcome.word:5} {outcome.seconds:5.1f} s  {mutant}", flush=True)
            if by := re.search(r"^(?:FAILED|ERROR) (?:\S*/)?(\S+)", outcome.output, re.MULTILINE):
                print(f"{'':26}by {by[1]}")
            if outcome.word not in {"lived", *NOTICED}:
                unfit.append(f"{mutant}: {outcome.word}")
    return outcomes, unfit


def _run(pool: ThreadPoolExecutor, benches: queue.Queue[Bench], jobs: list[_Job]) -> Iterator[tuple[_Job, Outcome]]:
    """Each job with its outcome, as they end."""

    def on_a_bench(job: _Job) -> Outcome:
        bench = benches.get()
        try:
            return bench.run(*job)
        finally:
            benches.put(bench)

    futures = {pool.submit(on_a_bench, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def score(outcomes: dict[Mutant, Outcome]) -> list[str]:
    """Prints the score of each deciding part and of the rest of each room; those that are under their bar."""
    groups: dict[tuple[str, str], list[bool]] = {}
    for mutant, outcome in outcomes.items():
        groups.setdefault((mutant.room, mutant.part or ""), []).append(outcome.word in NOTICED)
    under = []
    print(f"\n{'room':8} {'part':10} {'died':>9} {'share':>7} {'bar':>5}")
    for (room, part), noticed in sorted(groups.items()):
        bar = BAR_OF_A_PART if part else BAR_ELSEWHERE
        share = sum(noticed) / len(noticed)
        print(f"{room:8} {part or 'the rest':10} {sum(noticed):3} of {len(noticed):2} {share:7.0%} {bar:5.0%}")
        if share < bar:
            under.append(f"{room}, {part or 'the rest'}: {share:.0%} is under {bar:.0%}")
    lived = [mutant for mutant, outcome in outcomes.items() if outcome.word not in NOTICED]
    print(f"{'all':19} {len(outcomes) - len(lived):3} of {len(outcomes)}", *lived, sep="\nlived: ")
    return under


def main() -> None:
    """Run those that match; exit with 1 when a score is under its bar or an entry does not fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--room", help="only this room")
    parser.add_argument("--part", choices=PARTS, help="only this deciding part")
    parser.add_argument("--slip", help="only slips or functions that hold this text")
    parser.add_argument("-j", type=int, default=2, dest="workers", help="copies that run at once (default 2)")
    chosen = parser.parse_args()
    mutants = [
        mutant
        for mutant in read()
        if chosen.room in {None, mutant.room}
        and chosen.part in {None, mutant.part}
        and (chosen.slip is None or chosen.slip in f"{mutant.function} {mutant.slip}")
    ]
    outcomes, wrong = run_all(mutants, chosen.workers)
    wrong += score(outcomes)
    for line in wrong or ([] if mutants else ["no mutant matches"]):
        print(f"error: {line}")
    sys.exit(bool(wrong) or not mutants)


if __name__ == "__main__":
    main()
