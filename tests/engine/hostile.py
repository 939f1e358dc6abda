"""Imports mutated exports, one after the other, and tells what any of them called or wrote. Run by `test_hostile.py`.

    python -m tests.engine.hostile FOLDER FIRST LAST

FOLDER holds `exports/NAME/` (whole ones); all that may be written lies in FOLDER too. Prints one line of JSON per seed.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

CALLABLES = (
    *("os.system", "builtins.eval", "builtins.exec", "builtins.open", "subprocess.Popen", "importlib.import_module"),
    *("numpy.testing._private.utils.runstring", "numpy.memmap", "numpy.load", "numpy.f2py.run_main"),
    *("scipy.stats._distn_infrastructure.rv_sample", "scipy.io.loadmat", "sklearn.datasets._base.load_files"),
    *("joblib.memory.Memory", "joblib.numpy_pickle.load", "polars.read_csv", "xgboost.core.DMatrix", "code.interact"),
    *(
        "homeostat.core.store.Store",
        "types.FunctionType",
        "operator.methodcaller",
        "functools.reduce",
        "runpy.run_path",
    ),
)
NASTY = (
    *(
        None,
        True,
        -1,
        0,
        2**63,
        10**400,
        1e308,
        -1e308,
        "",
        "../../../escaped",
        "/etc/passwd",
        "a\x1b[31mb",
        "<script>",
    ),
    *(
        "x" * 5_000,
        [],
        {},
        [[]],
        [None] * 50,
        {"a": {"b": []}},
        "2026-01-01T00:00:00Z",
        "\u202e",
        "0" * 64,
        1.5,
        "pickle",
    ),
)
WATCHED = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess", "pty", "ctypes.dlopen")
WATCHED += ("socket.connect", "socket.bind", "socket.sendto", "pickle.find_class", "marshal.loads", "code.__new__")
MOVES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.truncate", "shutil")
LOADED = ("marshal.loads", "code.__new__")  # what an import of a module does as well


class Watch:
    """An audit hook that notes what no import of a bundle may do."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder.resolve())
        self.armed = self.busy = False
        self.seen: list[str] = []
        self.tops = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)

    def __call__(self, event: str, told: tuple) -> None:
        if not self.armed or self.busy:
            return
        self.busy = True
        try:
            if self._wrong(event, told):
                self.seen.append(f"{event} {told!r:.150}")
        finally:
            self.busy = False

    def _wrong(self, event: str, told: tuple) -> bool:
        if event.startswith(WATCHED):
            return event not in LOADED
        if event == "import":
            return str(told[0]).partition(".")[0] not in self.tops
        if event == "compile":
            # `ast.literal_eval`, with which NumPy reads the head of an array, calls its text unknown and runs nothing.
            quiet = told[1] in (None, "<unknown>") or str(told[1]).endswith(".py")
            return not quiet and not _own_code(told[0])
        if event == "exec":
            return str(told[0].co_filename).startswith("<") and not _own_code(told[0].co_filename)
        return self._moves(event, told)

    def _moves(self, event: str, told: tuple) -> bool:
        if event == "open":
            path, mode, flags = told
            writes = (isinstance(mode, str) and mode != "r" and set(mode) & set("wax+")) or flags & (
                os.O_WRONLY | os.O_RDWR
            )
            return bool(writes) and isinstance(path, (str, bytes)) and self._outside(path)
        if event.startswith(MOVES):
            if told[-1] != -1 and event in ("os.remove", "os.rmdir"):
                return False  # in a folder that is open already, as when a whole tree is removed
            return any(self._outside(path) for path in told[:2] if isinstance(path, (str, bytes, os.PathLike)))
        return False

    def _outside(self, path: object) -> bool:
        text = os.fsdecode(path)
        return text not in ("/dev/null", "") and not os.path.realpath(text).startswith(self.folder)


def _own_code(source: object) -> bool:
    """Text that libraries compile for themselves while they work: named tuples, data classes, array headers."""
    text = source.decode(errors="replace") if isinstance(source, bytes) else str(source)
    return text.startswith(
        ("lambda _cls", "<frozen", "<__array_function__", "{'descr':", "<string>", "<attrs", "def __create_fn__")
    )


# ---------------------------------------------------------------------------------------------------------- mutations


def places(value, path=()):
    """Paths to everything inside a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


def changed(draw, value):
    """The value with one thing in it exchanged, lost, renamed, or copied from elsewhere in it."""
    made = copy.deepcopy(value)
    paths = [path for path in places(made) if path]
    path = draw.choice(paths)
    holder = made
    for name in path[:-1]:
        holder = holder[name]
    how = draw.randrange(4)
    if how == 0:
        del holder[path[-1]]
    elif how == 1:
        other = made
        for name in draw.choice([one for one in paths if one[0] != path[0]] or [path]):
            if not isinstance(other, (dict, list)) or (isinstance(other, dict) and name not in other):
                break
            if isinstance(other, list) and name >= len(other):
                break
            other = other[name]
        holder[path[-1]] = copy.deepcopy(other)
    elif how == 2 and isinstance(holder, dict):
        holder[str(draw.choice(NASTY))[:100]] = holder.pop(path[-1])
    else:
        holder[path[-1]] = draw.choice(NASTY)
    return made


def flipped(draw, data):
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 40))):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def repacked(draw, data):
    """An archive whose JSON, or one of whose parts, was changed, its checksums right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        parts = {name: old.read(name) for name in old.namelist()}
        head = next(name for name in parts if name.endswith(".json"))
        how = draw.randrange(4)
        if how == 0:
            parts[head] = json.dumps(changed(draw, json.loads(parts[head]))).encode()
        elif how == 1:
            parts[head] = called(draw, parts[head])
        elif how == 2:
            name = draw.choice(sorted(parts))
            parts[name] = flipped(draw, parts[name])
        else:
            parts[draw.choice(("../escaped.npy", "/tmp/escaped", "more.npy", "a\x00b"))] = b"x"
        for name, part in parts.items():
            new.writestr(name, part)
    return out.getvalue()


def called(draw, head):
    """A document in which one class is a callable."""
    document = json.loads(head)
    nodes = [path for path in places(document) if path and path[-1] == "__class__"]
    if not nodes:
        return json.dumps(changed(draw, document)).encode()
    holder = document
    for name in draw.choice(nodes)[:-1]:
        holder = holder[name]
    holder["__module__"], _, holder["__class__"] = draw.choice(CALLABLES).rpartition(".")
    if draw.random() < 0.3:
        loaders = ("FunctionNode", "PartialNode", "MethodNode", "OperatorFuncNode", "ConstructorFromReduceNode")
        holder["__loader__"] = draw.choice(
            (*loaders, "NdArrayNode", "TypeNode", "ObjectNode", "LossNode", "CachedNode")
        )
    return json.dumps(document).encode()


def text_changed(draw, data):
    """Trees as text with one number, or one line, exchanged."""
    if data.startswith(b"{"):
        return json.dumps(changed(draw, json.loads(data))).encode()
    lines = data.split(b"\n")
    at = draw.randrange(len(lines))
    name, _, numbers = lines[at].partition(b"=")
    values = numbers.split(b" ")
    values[draw.randrange(len(values))] = draw.choice((b"-1", b"99999999", b"nan", b"", b"1e400", b"-99999999"))
    lines[at] = name + b"=" + b" ".join(values)
    return b"\n".join(lines)


def mutate(draw, folder):
    """Change an export; gives what was done."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    data = (folder / "model.bin").read_bytes()
    runtime = manifest["blob"]["runtime"]
    said = json.loads((folder / "version.json").read_bytes())
    kinds = ["manifest", "manifest", "version", "bytes", "bytes", "sealed", "cut", "file", "nested", "twice", "runtime"]
    kinds += ["repacked"] * 8 if runtime in ("skops", "numpy") else []
    kinds += ["text"] * 6 if runtime in ("xgboost", "lightgbm") else []
    kind = draw.choice(kinds)
    if kind == "file":
        return f"file {oddly(draw, folder)}"
    if kind in CHANGES:
        data = CHANGES[kind](draw, data)
        manifest["blob"] |= {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    elif kind == "runtime":
        manifest["blob"]["runtime"] = draw.choice(("onnx", "skops", "numpy", "xgboost", "lightgbm", "pickle", "joblib"))
    elif kind == "manifest":
        manifest = changed(draw, manifest)
    text = json.dumps(manifest)
    if kind == "nested":
        text = '{"snapshot":' + "[" * 50_000 + "]" * 50_000 + "," + text[1:]
    elif kind == "twice":
        text = '{"loop":"other",' + text[1:]
    said["registered"]["manifest"] = hashlib.sha256(text.encode()).hexdigest()
    if kind == "version":
        said = changed(draw, said)
    elif kind == "sealed":
        text = flipped(draw, text.encode()).decode("latin1")
    (folder / "manifest.json").write_text(text)
    (folder / "model.bin").write_bytes(data)
    (folder / "version.json").write_text(json.dumps(said))
    return kind


CHANGES = {
    "bytes": flipped,
    "cut": lambda draw, data: data[: draw.randrange(len(data))],
    "repacked": repacked,
    "text": text_changed,
}


def oddly(draw, folder):
    """Something that is no file, lies elsewhere, is missing or too much."""
    part = folder / draw.choice(("manifest.json", "model.bin", "version.json"))
    how = draw.choice(("pipe", "device", "link", "folder", "missing", "extra", "hidden", "empty"))
    if how in ("extra", "hidden"):
        (folder / ("payload.pkl" if how == "extra" else ".hidden")).write_bytes(b"\x80\x04K\x01.")
        return how
    whole = part.read_bytes()
    part.unlink()
    if how == "pipe":
        os.mkfifo(part)
    elif how == "device":
        part.symlink_to("/dev/zero")
    elif how == "link":
        (folder.parent / "elsewhere").write_bytes(whole)
        part.symlink_to(folder.parent / "elsewhere")
    elif how == "folder":
        part.mkdir()
    elif how == "empty":
        part.write_bytes(b"")
    return how


def main(folder: Path, first: int, last: int) -> None:
    """Import one mutated export per seed into a store of its own."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "temporary")
    (folder / "temporary").mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    from homeostat.core.errors import HomeostatError
    from homeostat.core.store import Store
    from homeostat.engine.registry.transfer import Vouched, take_in
    from tests.cd.serving import NOON

    exports = sorted((folder / "exports").iterdir())
    vouched = Vouched("mallory", "trust me")
    for export in exports:  # whatever libraries do once, they have done now
        assert take_in(Store.open(folder / "warm" / export.name), export, now=NOON, vouched=vouched).passed, export.name
    usual = set((folder / "temporary").iterdir())
    watch = Watch(folder)
    sys.addaudithook(watch)
    for seed in range(first, last):
        draw = random.Random(seed)
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        export = exports[seed % len(exports)]
        shutil.copytree(export, work / "export")
        kind = mutate(draw, work / "export")
        (folder / "seed").write_text(f"{seed} {export.name} {kind}")
        store = Store.open(work / "store")
        before = {path.relative_to(work) for path in work.rglob("*")}
        said = state = None
        watch.seen, watch.armed = [], True
        try:
            event = take_in(store, work / "export", now=NOON, vouched=vouched)
            state = store.ledger.versions(event.loop)[0].state
        except HomeostatError as error:
            said = error.what
        except Exception as error:  # noqa: BLE001 - the test says which
            said, state = f"{type(error).__name__}: {error}", "fault"
        watch.armed = False
        left = [str(path) for path in {path.relative_to(work) for path in work.rglob("*")} - before]
        outside = [path for path in left if not path.startswith("store/")]
        outside += [str(path) for path in set((folder / "temporary").iterdir()) - usual]
        store.close()
        told = {"seed": seed, "export": export.name, "kind": kind, "said": said, "state": state}
        print(json.dumps(told | {"seen": watch.seen, "outside": outside}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
