"""Bundles: saved, read, refused when anything about them is not as it was."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestClassifier

from homeostat.core import codecs
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.errors import IntegrityError, ModelError
from homeostat.core.model import Bundle, Manifest
from homeostat.core.model.manifest import FORMAT
from tests.core.model_rows import rows, trained

TABLE = rows(600)
FOREST = RandomForestClassifier(n_estimators=5, max_depth=4)


def features(table: pl.DataFrame) -> pl.DataFrame:
    return table.select("x", "carrier", both=pl.col("x") * pl.col("z"))


def other_features(table: pl.DataFrame) -> pl.DataFrame:
    return table.select("x", "carrier", both=pl.col("x") + pl.col("z"))


@pytest.fixture
def blobs(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.mark.parametrize("model", [None, FOREST], ids=["onnx", "skops"])
@pytest.mark.parametrize("target", ["binary", "text", "three"])
def test_a_saved_model_answers_as_before(blobs, model, target: str):
    table = rows(600, target=target)
    bundle = trained(table, model=model)
    loaded = Bundle.load(blobs, bundle.save(blobs))
    before, after = bundle.model().predict(table), loaded.predict(table)
    np.testing.assert_array_equal(before.score, after.score)
    assert after.value.tolist() == before.value.tolist()
    assert set(after.value.tolist()) <= set(table["y"].to_list())
    loaded.check_golden()


def test_a_regression_gives_numbers_and_no_scores(blobs):
    table = rows(600, target="number")
    found = Bundle.load(blobs, trained(table).save(blobs)).predict(table)
    assert found.score is None
    assert np.corrcoef(found.value, table["y"].to_numpy())[0, 1] > 0.8


def test_a_bundle_is_a_step_value(blobs):
    bundle = trained(TABLE)
    assert codecs.decode(codecs.encode(bundle, blobs), blobs) == bundle


def test_another_features_is_refused_by_name(blobs):
    key = trained(TABLE, features=features).save(blobs)
    Bundle.load(blobs, key, features).check_golden()
    for wrong in (other_features, None):
        with pytest.raises(ModelError, match=r"not the one that this model was trained with.*features"):
            Bundle.load(blobs, key, wrong)


def test_features_are_refused_by_a_model_that_was_trained_without(blobs):
    key = trained(TABLE).save(blobs)
    with pytest.raises(ModelError, match="not the one"):
        Bundle.load(blobs, key, features)


class Dict(dict[str, bytes]):
    """Blobs that do not verify anything."""

    def put(self, data: bytes) -> str:
        import hashlib

        name = hashlib.sha256(data).hexdigest()
        self[name] = data
        return name

    def size(self, name: str) -> int:
        return len(self[name])


def test_a_flipped_byte_in_either_part_is_refused():
    blobs = Dict()
    bundle = trained(TABLE)
    key = bundle.save(blobs)
    for name in (key, bundle.manifest.blob.sha256):
        whole = blobs[name]
        blobs[name] = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
        with pytest.raises(IntegrityError):
            Bundle.load(blobs, key)
        blobs[name] = whole


def test_a_newer_format_is_refused():
    data = msgspec.json.encode(msgspec.structs.replace(trained(TABLE).manifest, format=FORMAT + 1))
    with pytest.raises(ModelError, match="format 2 and this Homeostat reads up to 1"):
        Manifest.from_json(data)


def test_something_else_than_a_manifest_is_refused():
    with pytest.raises(ModelError, match="not a model's manifest"):
        Manifest.from_json(b'{"format": 1}')


def test_a_manifest_is_canonical():
    manifest = trained(TABLE).manifest
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_json(manifest.to_json()).to_json() == manifest.to_json()


def test_golden_rows_notice_another_model():
    first, second = trained(TABLE), trained(rows(600, seed=1))
    mixed = Bundle(msgspec.structs.replace(second.manifest, golden=first.manifest.golden), second.data).model()
    with pytest.raises(ModelError, match="golden rows"):
        mixed.check_golden()


def test_records_are_answered_as_tables_are():
    model = trained(TABLE).model()
    part = TABLE.head(40).drop("y", "known")
    records = [row | {"at": row["at"].isoformat()} for row in part.to_dicts()]
    np.testing.assert_array_equal(model.predict_records(records).score, model.predict(part).score)


def test_records_are_answered_through_features():
    model = trained(TABLE, features=features).model(features)
    part = TABLE.head(10)
    records = [row | {"at": row["at"].isoformat()} for row in part.drop("y", "known").to_dicts()]
    np.testing.assert_array_equal(model.predict_records(records).score, model.predict(part).score)


def test_labels_in_the_rows_are_not_looked_at():
    model = trained(TABLE).model()
    np.testing.assert_array_equal(model.predict(TABLE).score, model.predict(TABLE.with_columns(y=~pl.col("y"))).score)


def test_the_manifest_says_what_was_learned_from():
    manifest = trained(TABLE).manifest
    assert manifest.lineage.rows == 600
    assert (manifest.lineage.window_start, manifest.lineage.window_end) == (TABLE["at"].min(), TABLE["at"].max())
    assert manifest.reference is not None
    assert "id" not in manifest.reference.columns
    assert manifest.golden is not None
    assert len(manifest.golden.rows) == 5


def test_a_model_that_gives_nan_raises():
    class Broken:
        name = "broken"

        def output(self, rows):
            return Output(np.full((len(rows), 2), np.nan))

    from homeostat.core.model import Model, Output

    with pytest.raises(ModelError, match="NaN or infinity for row 1"):
        Model(trained(TABLE).manifest, Broken()).predict(TABLE.head(3))


@pytest.mark.parametrize("target", ["binary", "three"])
def test_golden_rows_notice_another_label_although_the_scores_are_right(target: str):
    bundle = trained(rows(600, target=target))
    golden = bundle.manifest.golden
    assert golden.labels == tuple(bundle.model().predict_records(golden.rows).value.tolist())
    other = next(name for name in bundle.manifest.signature.classes if name != golden.labels[2])
    forged = msgspec.structs.replace(golden, labels=(*golden.labels[:2], other, *golden.labels[3:]))
    with pytest.raises(ModelError, match=r"does not answer its golden rows as it did .*other labels"):
        bundle.with_facts(golden=forged).model().check_golden()
