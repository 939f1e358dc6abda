"""D1: a model that needs an absent package, too much memory or an absent accelerator is refused before deployment."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest

from homeostat.core.model import Bundle
from tests.engine.rehearsing import MODEL, Project, gate, refused_by

ONNXRUNTIME = metadata.version("onnxruntime")
MADE = {name: metadata.version(name) for name in ("msgspec", "numpy", "polars")}
"""What every model needs; one that is kept as ONNX needs its runtime too."""


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        (MADE, f"package onnxruntime {ONNXRUNTIME} is needed and absent"),
        (MADE | {"onnxruntime": "1.2.0"}, f"onnxruntime {ONNXRUNTIME} is needed and 1.2.0 is there, which is older"),
    ],
    ids=["absent", "older"],
)
def test_an_absent_package_is_refused(tmp_path, packages, said):
    project = Project(tmp_path, "gates.not_leaking()", f"target=deploy.Target(packages={packages!r})")
    event = project.run()
    assert refused_by(event) == ["compatible"]
    assert said in gate(event, "compatible").reason
    assert project.state(event.version) == "refused"
    assert project.champion is None


def test_too_much_memory_is_refused_with_both_numbers(tmp_path):
    project = Project(tmp_path, "gates.load(seconds=0.3)", 'target=deploy.Target(memory="20MB")')
    event = project.run()
    assert refused_by(event) == ["compatible"]
    needed, there = gate(event, "compatible").numbers["memory"]
    assert there == 20_000_000
    assert 50_000_000 < needed < 1_000_000_000
    assert f"{needed / 1e6:,.1f} MB of memory are needed and 20.0 MB are there" in gate(event, "compatible").reason
    assert Bundle.read(project.store.artifacts, event.manifest).manifest.needs.memory == needed
    assert project.champion is None


def test_an_absent_accelerator_is_refused(tmp_path):
    project = Project(tmp_path, "gates.not_leaking()", 'target=deploy.Target(accelerator="none")')
    project.edit(MODEL, 'model=Own(device="cuda:0")')
    event = project.run()
    assert refused_by(event) == ["compatible"]
    assert "the accelerator cuda is needed and none is there" in gate(event, "compatible").reason
    project.edit('accelerator="none"', 'accelerator="cuda"')
    assert "compatible" not in refused_by(project.run())


def test_what_is_there_is_enough_and_the_manifest_says_what_is_needed(tmp_path):
    project = Project(tmp_path, "gates.not_leaking()")
    event = project.run()
    assert refused_by(event) == []
    assert project.champion == event.version
    needs = Bundle.read(project.store.artifacts, event.manifest).manifest.needs
    assert needs.packages == MADE | {"onnxruntime": ONNXRUNTIME}
    assert needs.accelerator is None
    assert needs.python == sys.version.partition(" ")[0]


USED = """
import json, sys
from importlib import metadata
from pathlib import Path
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.model import Bundle
blobs = ArtifactStore(Path(sys.argv[1]))
model = Bundle.load(blobs, sys.argv[2], trusted=["sklearn.ensemble._forest.RandomForestClassifier"])
model.check_golden()
known = metadata.packages_distributions()
used = {name for module in list(sys.modules) for name in known.get(module.partition(".")[0], ())}
print(json.dumps(sorted(set(model.manifest.needs.packages) - used)))
"""


def test_every_package_that_is_named_is_really_used(tmp_path):
    from sklearn.ensemble import RandomForestClassifier

    from homeostat.core.artifacts import ArtifactStore
    from homeostat.core.model.needs import needs_of
    from tests.core.model_rows import rows, trained

    made = trained(rows(300), model=RandomForestClassifier(n_estimators=3, max_depth=3))
    made = made.with_facts(needs=needs_of(made.manifest))
    assert {"scikit-learn", "scipy", "skops", "numpy"} <= set(made.manifest.needs.packages)
    key = made.save(ArtifactStore(tmp_path / "artifacts"))
    command = [sys.executable, "-c", USED, str(tmp_path / "artifacts"), key]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
