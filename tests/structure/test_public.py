from __future__ import annotations

import pytest

import homeostat

PUBLIC = [
    *("FileSource", "FrameSource", "HomeostatError", "Loop", "Pipeline", "Store"),
    *("TorchClassifier", "TorchRegressor"),
    *("deploy", "gates", "how", "load", "load_loop", "step", "when", "where"),
]


def test_the_public_names_are_these_and_no_others():
    assert sorted(homeostat.__all__) == sorted(PUBLIC)
    assert sorted(dir(homeostat)) == sorted([*PUBLIC, "__version__"])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str):
    assert getattr(homeostat, name).__doc__


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Lop'"):
        homeostat.Lop  # noqa: B018
