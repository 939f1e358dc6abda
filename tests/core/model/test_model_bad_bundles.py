"""Bundles that were cut off, forged or mixed up are refused with one error that names the thing, and never loaded."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from homeostat.ci.train.online import train_online
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.errors import IntegrityError, ModelError
from homeostat.core.model import Bundle
from homeostat.core.model.convert import Stored
from homeostat.core.model.inspect import MOST_BYTES, MOST_MANIFEST_BYTES, check_blob
from homeostat.core.model.manifest import Blob
from homeostat.ct.how import Online
from tests.core.model_rows import NOW, rows, schema_of, trained

FOREST = RandomForestClassifier(n_estimators=5, max_depth=4)
TABLE = rows(600)


@cache
def graph() -> Bundle:
    return trained(TABLE, model=HistGradientBoostingClassifier(max_iter=5))


@cache
def kept() -> Bundle:
    """One whose estimator is kept by skops, because it takes the table itself."""
    made = trained(TABLE, model=FOREST)
    assert made.manifest.blob.runtime == "skops"
    return made


@cache
def online() -> Bundle:
    return train_online(TABLE, TABLE.tail(100), schema=schema_of(TABLE), now=NOW, how=Online()).bundle


def forged(bundle: Bundle, data: bytes) -> Bundle:
    """The same bundle around other bytes, with the hash that they have."""
    runtime = bundle.manifest.blob.runtime
    return Bundle(msgspec.structs.replace(bundle.manifest, blob=Blob.of(Stored(runtime=runtime, data=data))), data)


def refusal(bundle: Bundle, data: bytes) -> str:
    with pytest.raises(ModelError) as refused:
        forged(bundle, data).model()
    return refused.value.what


@pytest.fixture
def blobs(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def place(blobs: ArtifactStore, name: str) -> Path:
    return blobs.blobs.folder / name[:2] / name[2:]


@pytest.mark.parametrize("make", [graph, kept, online])
def test_whole_ones_are_loaded(make) -> None:
    make().model().check_golden()


@pytest.mark.parametrize("part", ["manifest", "model"])
def test_a_flipped_byte_a_lost_part_and_one_cut_off_are_refused(blobs, part) -> None:
    bundle = graph()
    key = bundle.save(blobs)
    name = key if part == "manifest" else bundle.manifest.blob.sha256
    whole = place(blobs, name).read_bytes()
    for at in (0, len(whole) // 2, len(whole) - 1):
        place(blobs, name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IntegrityError, match=name[:12]):
            Bundle.load(blobs, key)
    place(blobs, name).write_bytes(whole[:-1])
    with pytest.raises(IntegrityError, match=name[:12]):
        Bundle.load(blobs, key)
    place(blobs, name).unlink()
    with pytest.raises(IntegrityError, match="not whole"):
        Bundle.load(blobs, key)


@pytest.mark.parametrize("part", ["manifest", "model"])
def test_a_part_of_absurd_size_is_refused_unread(blobs, part) -> None:
    bundle = graph()
    key = bundle.save(blobs)
    with place(blobs, key if part == "manifest" else bundle.manifest.blob.sha256).open("r+b") as file:
        file.truncate(1 << 40)  # a hole: it costs no disk, and would cost a terabyte of memory
    with pytest.raises(IntegrityError, match="1,099,511,627,776 bytes"):
        Bundle.load(blobs, key)


def test_a_manifest_that_names_an_absurd_size_is_refused(blobs) -> None:
    manifest = graph().manifest
    absurd = msgspec.structs.replace(manifest, blob=msgspec.structs.replace(manifest.blob, size=MOST_BYTES + 1))
    with pytest.raises(ModelError, match="are the most"):
        Bundle.load(blobs, blobs.put(absurd.to_json()))


def test_a_manifest_is_never_larger_than_may_be_read(blobs) -> None:
    key = blobs.put(b" " * (MOST_MANIFEST_BYTES + 1))
    with pytest.raises(IntegrityError, match="manifest"):
        Bundle.load(blobs, key)


def test_a_newer_format_is_refused_before_its_fields_are_looked_at(blobs) -> None:
    data = json.loads(graph().manifest.to_json()) | {"format": 99, "blob": {"shape": "of the future"}}
    with pytest.raises(ModelError, match="format 99"):
        Bundle.load(blobs, blobs.put(json.dumps(data).encode()))


def test_a_runtime_of_the_future_is_refused() -> None:
    manifest = graph().manifest
    blob = msgspec.structs.replace(manifest.blob, runtime="quantum")
    with pytest.raises(ModelError, match="no runtime called 'quantum'"):
        Bundle(msgspec.structs.replace(manifest, blob=blob), graph().data).model()


TOUCH = "import pathlib; pathlib.Path({!r}).write_text('the pickle ran')"


class Evil:
    """Whoever unpickles it runs its code."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


@pytest.mark.parametrize("make", [graph, kept, online])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_under_another_name_is_refused_and_does_not_run(tmp_path, make, protocol) -> None:
    touched = tmp_path / "touched"
    said = refusal(make(), pickle.dumps(Evil(TOUCH.format(str(touched))), protocol=protocol))
    assert "are a pickle, which is never loaded" in said or protocol == 0
    assert f"no {make().manifest.blob.runtime} model" in said
    assert not touched.exists()


def test_another_runtimes_bytes_are_refused_by_what_they_are() -> None:
    assert "they are a zip archive" in refusal(graph(), kept().data)
    assert "no skops model" in refusal(kept(), graph().data)
    assert "schema.json" in refusal(kept(), online().data)
    assert "nothing at all" in refusal(graph(), b"")


# -------------------------------------------------------------------------------------------------------------- ONNX


def onnx_model(*nodes: onnx.NodeProto, weights: TensorProto | None = None, **more: str) -> bytes:
    inside = helper.make_graph(
        nodes or [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [weights] if weights is not None else [],
    )
    opsets = [helper.make_opsetid("", 21), *(helper.make_opsetid(domain, 1) for domain in more.values())]
    return helper.make_model(inside, opset_imports=opsets).SerializeToString()


def outside(where: str) -> TensorProto:
    """Weights that lie in a file beside the model."""
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[2, 2])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=where)
    return weights


def test_a_graph_with_data_in_other_files_is_refused() -> None:
    said = refusal(graph(), onnx_model(weights=outside("../../etc/passwd")))
    assert said == "this onnx model keeps data in files of its own: weights"


def test_data_in_other_files_are_found_within_a_branch_and_within_a_constant() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=outside("somewhere"))
    empty = helper.make_graph([], "else", [], [])
    branch = helper.make_graph([constant], "then", [], [])
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=empty)
    for nodes in ([constant], [choice]):
        assert "files of its own" in refusal(graph(), onnx_model(*nodes))


def test_operators_of_unknown_makers_are_refused_by_name() -> None:
    custom = helper.make_node("Exec", ["x"], ["y"], domain="evil.ops")
    assert "evil.ops:Exec" in refusal(graph(), onnx_model(custom, maker="evil.ops"))


def test_a_function_that_the_model_brings_along_is_no_custom_operator() -> None:
    model = onnx.load_model_from_string(onnx_model(helper.make_node("Twice", ["x"], ["y"], domain="own"), maker="own"))
    twice = helper.make_node("Add", ["a", "a"], ["b"])
    model.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], [twice], [helper.make_opsetid("", 21)]))
    check_blob("onnx", model.SerializeToString())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_graph_that_is_cut_off_anywhere_is_refused(data) -> None:
    whole = graph().data
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ModelError):
        forged(graph(), whole[:cut]).model().check_golden()


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_at_all_end_in_one_error(data) -> None:
    for runtime in ("skops", "numpy"):
        with pytest.raises(ModelError):
            check_blob(runtime, data)
    with suppress(ModelError):  # some few bytes are a graph without a node
        check_blob("onnx", data)


def test_graphs_within_graphs_do_not_exhaust_the_stack() -> None:
    inner = b""
    for _ in range(2_000):
        attribute = b"\x32" + size(inner) + inner
        node = b"\x2a" + size(attribute) + attribute
        inner = b"\x0a" + size(node) + node
    assert "within graphs" in refusal(graph(), b"\x3a" + size(inner) + inner)


def size(data: bytes) -> bytes:
    left, out = len(data), b""
    while True:
        out += bytes([left & 0x7F | (0x80 if left > 0x7F else 0)])
        left >>= 7
        if not left:
            return out


# ----------------------------------------------------------------------------------------------------------- archives


def rewritten(bundle: Bundle, change, drop: str = "") -> bytes:
    """The archive with its members changed: name and bytes to name and bytes, or None to leave it out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle.data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            made = change(name, old.read(name))
            if made is not None:
                new.writestr(name, made)
        if drop:
            new.writestr(drop, b"x")
    return out.getvalue()


def first_array(bundle: Bundle) -> str:
    with zipfile.ZipFile(io.BytesIO(bundle.data)) as archive:
        return next(name for name in archive.namelist() if name.endswith(".npy"))


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


@pytest.mark.parametrize("make", [kept, online])
def test_missing_and_extra_members_are_named(make) -> None:
    name = first_array(make())
    assert f"{name}" in refusal(make(), rewritten(make(), lambda one, data: None if one == name else data))
    said = refusal(make(), rewritten(make(), lambda _name, data: data, drop="more/payload.so"))
    assert "more/payload.so is no part of it" in said


@pytest.mark.parametrize("make", [kept, online])
def test_an_array_of_pickled_objects_is_refused(tmp_path, make) -> None:
    touched = tmp_path / "touched"
    pickled = npy(np.array([Evil(TOUCH.format(str(touched)))], dtype=object), allow_pickle=True)
    name = first_array(make())
    said = refusal(make(), rewritten(make(), lambda one, data: pickled if one == name else data))
    assert f"{name} holds pickled objects" in said
    assert not touched.exists()


@pytest.mark.parametrize("make", [kept, online])
def test_an_array_that_lies_about_its_shape_takes_no_memory(make) -> None:
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 45,)}
    lying = io.BytesIO()
    np.lib.format.write_array_header_1_0(lying, header)
    name = first_array(make())
    said = refusal(make(), rewritten(make(), lambda one, data: lying.getvalue() if one == name else data))
    assert "281,474,976,710,656 bytes and has 0" in said


@pytest.mark.parametrize("make", [kept, online])
def test_an_archive_that_would_unpack_to_absurd_sizes_is_refused(make) -> None:
    name = first_array(make())
    bomb = rewritten(make(), lambda one, data: bytes(600 << 20) if one == name else data)
    assert len(bomb) < 2 << 20
    assert "would unpack to" in refusal(make(), bomb)


def test_a_type_that_is_not_on_the_list_is_refused() -> None:
    def other(name: str, data: bytes) -> bytes:
        if name != "schema.json":
            return data
        schema = json.loads(data) | {"__module__": "os", "__class__": "system"}
        return json.dumps(schema).encode()

    assert "nobody vouched for: os.system" in refusal(kept(), rewritten(kept(), other))


def test_nothing_of_a_refused_model_was_loaded() -> None:
    """Neither ONNX Runtime nor skops is even imported to find out that bytes are none of theirs."""
    code = (
        "import sys; from homeostat.core.model.inspect import check_blob\n"
        "for runtime in ('onnx', 'skops'):\n"
        "    try: check_blob(runtime, b'\\x80\\x04K\\x01.')\n"
        "    except Exception as error: print(error.what)\n"
        "assert not {'onnxruntime', 'skops', 'onnx'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("a pickle, which is never loaded") == 2
