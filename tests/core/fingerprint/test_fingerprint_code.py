"""Code is named by what it does: comments and layout change nothing, everything that is reached changes everything."""

from __future__ import annotations

import functools
import importlib.util
import sys
import textwrap
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homeostat.core.fingerprint import FingerprintError, code_fingerprint, fingerprint, fingerprint_parts

BASE = """
    import functools
    import json
    import polars as pl
    from sklearn.linear_model import LogisticRegression

    LIMIT = 3
    TABLE = {"a": [1, 2]}

    class Base:
        factor = 2
        def scale(self, row):
            return row * self.factor

    class Cleaner(Base):
        def __init__(self, low):
            self.low = low
        def run(self, rows):
            return [helper(self.scale(row)) for row in rows if row > self.low]

    def deep(row):
        return row + 1

    def helper(row, step=1):
        return deep(row) * step

    def unrelated(row):
        return row

    @functools.lru_cache
    def remembered(row):
        return deep(row)

    def train(rows, *, rate=0.1):
        cleaned = Cleaner(LIMIT).run(rows)
        return [remembered(row) for row in cleaned], TABLE["a"], pl.DataFrame, LogisticRegression
"""
_numbers = count()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Import a source text as a module of a user's project; always under the same name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(source, name="project_under_test", **files):
        for other, text in files.items():
            (tmp_path / f"{other}.py").write_text(textwrap.dedent(text))
            sys.modules.pop(other, None)
        path = tmp_path / f"{next(_numbers)}" / f"{name}.py"
        path.parent.mkdir()
        path.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def changed(before, after):
    return sorted(part for part in {**before, **after} if before.get(part) != after.get(part))


def parts_of(module):
    return code_fingerprint(module.train)[1]


def test_the_parts_name_everything_that_is_reached(load):
    parts = parts_of(load(BASE))
    names = {part.replace("project_under_test.", "") for part in parts}
    assert names == {
        "code:train",
        "code:Cleaner",
        "code:Base",
        "code:helper",
        "code:deep",
        "code:remembered",
        "constant:LIMIT",
        "constant:TABLE",
        "default:helper.step",
        "package:polars",
        "package:sklearn",
        "package:python",
    }
    assert parts["constant:project_under_test.LIMIT"] == "3"
    assert parts["package:polars"] == pl.__version__


SAME = {
    "a comment": ("return deep(row) * step", "return deep(row) * step  # scaled"),
    "layout": ("return deep(row) * step", "return (\n            deep(row)\n            * step\n        )"),
    "a docstring": ("def deep(row):\n", 'def deep(row):\n        """One more."""\n'),
    "a class docstring": ("class Base:\n", 'class Base:\n        """Scales."""\n'),
    "a function that is not reached": (
        "def unrelated(row):\n        return row",
        "def unrelated(row):\n        return 0",
    ),
    "a new function": ("def unrelated(row):", "def another(row):\n        return row\n\n    def unrelated(row):"),
    "quotes": ('TABLE["a"]', "TABLE['a']"),
    "a setting's default": ("rate=0.1", "rate=0.2"),
}


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME.keys())
def test_what_does_not_matter_changes_nothing(load, edit):
    assert edit[0] in BASE
    before, after = load(BASE), load(BASE.replace(*edit))
    assert code_fingerprint(before.train) == code_fingerprint(after.train)


DIFFERENT = {
    "its own code": ("in cleaned]", "in cleaned if row]", "code:train"),
    "a helper's helper": ("return row + 1", "return row + 2", "code:deep"),
    "a constant": ("LIMIT = 3", "LIMIT = 4", "constant:LIMIT"),
    "a constant's content": ("[1, 2]", "[1, 3]", "constant:TABLE"),
    "a method": ("if row > self.low", "if row >= self.low", "code:Cleaner"),
    "an inherited attribute": ("factor = 2", "factor = 3", "code:Base"),
    "a helper's default": ("step=1", "step=2", "default:helper.step"),
    "a helper's keyword-only default": ("step=1", "*, step=1", "code:helper"),
    "the order of operations": ("deep(row) * step", "step * deep(row)", "code:helper"),
}


@pytest.mark.parametrize("edit", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_matters_is_noticed_and_named(load, edit):
    old, new, part = edit
    before, after = load(BASE), load(BASE.replace(old, new))
    kind, _, name = part.partition(":")
    assert changed(parts_of(before), parts_of(after)) == [f"{kind}:project_under_test.{name}"]
    assert code_fingerprint(before.train)[0] != code_fingerprint(after.train)[0]


KEYWORD_ONLY = """
    import settings
    LIMIT = 3
    def helper(row, *, top=LIMIT, low=settings.LOW):
        return min(max(row, low), top)
    class Cleaner:
        def run(self, row, *, step=LIMIT):
            return row + step
    def train(rows, *, rate=LIMIT):
        return [Cleaner().run(helper(row)) for row in rows]
"""


@pytest.mark.parametrize(
    ("limit", "low", "parts"),
    [(4, 0, ["default:project_under_test.helper.top"]), (3, 1, ["default:project_under_test.helper.low"])],
)
def test_a_helper_s_keyword_only_default_is_part_of_it_by_its_value(load, limit, low, parts):
    """The text of the function is the same; what it was given when it was made is not."""
    before = parts_of(load(KEYWORD_ONLY, settings="LOW = 0"))
    after = parts_of(load(KEYWORD_ONLY.replace("LIMIT = 3", f"LIMIT = {limit}"), settings=f"LOW = {low}"))
    assert set(parts) <= set(changed(before, after))
    assert not any(part.endswith(".rate") for part in before)


def test_a_new_helper_is_noticed(load):
    after = load(BASE.replace("return row + 1", "return unrelated(row) + 1"))
    assert "code:project_under_test.unrelated" in parts_of(after)


def test_helpers_are_followed_through_modules_and_imports_inside_functions(load):
    source = """
        def train(rows):
            import json
            from helpers import clean
            import helpers as h
            return json.dumps([h.scale(row) for row in clean(rows)])
    """
    helpers = "def clean(rows):\n    return rows\n\ndef scale(row):\n    return row * 2\n\ndef other():\n    return 0\n"
    first = parts_of(load(source, helpers=helpers))
    assert set(first) == {
        "code:project_under_test.train",
        "code:helpers.clean",
        "code:helpers.scale",
        "package:python",
    }
    second = parts_of(load(source, helpers=helpers.replace("row * 2", "row * 3")))
    assert changed(first, second) == ["code:helpers.scale"]


def test_an_installed_package_is_a_name_and_a_version_and_is_not_entered(load):
    module = load("import numpy as np\ndef train(rows):\n    return np.mean(rows)\n")
    assert parts_of(module) == {
        "code:project_under_test.train": code_fingerprint(module.train)[1]["code:project_under_test.train"],
        "package:numpy": np.__version__,
    }


def test_an_object_that_a_library_exports_is_the_library(load):
    module = load("from polars import col\ndef train(rows):\n    return rows.filter(col('a') > 0)\n")
    assert set(parts_of(module)) == {"code:project_under_test.train", "package:polars"}


def test_closures_are_told_apart_by_what_they_hold(load):
    module = load(
        """
        def make(factor):
            def scaled(rows):
                return [row * factor for row in rows]
            return scaled
        two, also_two, three = make(2), make(2), make(3)
        """
    )
    assert code_fingerprint(module.two) == code_fingerprint(module.also_two)
    assert code_fingerprint(module.two)[0] != code_fingerprint(module.three)[0]


def test_two_lambdas_on_one_line_are_told_apart(load):
    module = load("up, down = (lambda row: row + 1), (lambda row: row - 1)\n")
    again = load("\n\nup, down = (lambda  row: row + 1), (lambda row: (row - 1))\n")
    assert fingerprint(module.up) != fingerprint(module.down)
    assert fingerprint(module.up) == fingerprint(again.up)
    assert fingerprint(module.down) == fingerprint(again.down)


def test_a_decorated_function_is_its_decorator_and_itself(load):
    source = """
        import functools
        def twice(function):
            @functools.wraps(function)
            def wrapper(rows):
                return function(function(rows))
            return wrapper

        @twice
        def train(rows):
            return rows
    """
    first = load(source)
    inside = load(source.replace("        return rows\n", "        return rows[1:]\n"))
    around = load(source.replace("function(function(rows))", "function(rows)"))
    totals = {code_fingerprint(module.train)[0] for module in (first, inside, around)}
    assert len(totals) == 3


def test_a_partial_is_its_function_and_its_arguments(load):
    module = load("def train(rows, *, rate=0.1, low=0):\n    return rows\n")
    names = {fingerprint(functools.partial(module.train, **kept)) for kept in ({"rate": 1}, {"rate": 2}, {"low": 1})}
    assert len(names) == 3


def test_functions_that_call_each_other_are_named(load):
    source = """
        def even(n):
            return n == 0 or odd(n - 1)
        def odd(n):
            return n != 0 and even(n - 1)
        STEPS = {"even": even}
        def train(n):
            return STEPS["even"](n)
    """
    first = parts_of(load(source))
    second = parts_of(load(source.replace("n != 0 and", "n > 0 and")))
    assert changed(first, second) == ["code:project_under_test.odd"]


def test_an_object_of_a_project_class_is_its_attributes_and_its_class(load):
    source = """
        class Scaler:
            def __init__(self, factor):
                self.factor = factor
            def __call__(self, rows):
                return [row * self.factor for row in rows]
    """
    first, edited = load(source), load(source.replace("row * self.factor", "row / self.factor"))
    assert fingerprint_parts(first.Scaler(2)) == fingerprint_parts(first.Scaler(2))
    assert fingerprint_parts(first.Scaler(2))[0] != fingerprint_parts(first.Scaler(3))[0]
    assert fingerprint_parts(first.Scaler(2))[0] != fingerprint_parts(edited.Scaler(2))[0]


def test_a_global_that_cannot_be_named_is_refused_by_name(load):
    module = load("import threading\nlock = threading.Lock()\ndef train(rows):\n    with lock:\n        return rows\n")
    with pytest.raises(FingerprintError, match=r"`lock`, which `project_under_test.train` uses"):
        code_fingerprint(module.train)


def test_a_logger_changes_nothing(load):
    module = load(
        "import logging\nlog = logging.getLogger('x')\ndef train(rows):\n    log.info('x')\n    return rows\n"
    )
    assert list(parts_of(module)) == ["code:project_under_test.train"]


def test_code_without_source_is_refused():
    namespace: dict[str, object] = {"__name__": "made_up"}
    exec("def train(rows): return rows", namespace)
    with pytest.raises(FingerprintError, match="source of `train`"):
        code_fingerprint(namespace["train"])


def test_code_that_was_edited_after_it_was_loaded_is_refused(load):
    module = load("def train(rows):\n    return rows\n")
    Path(module.__file__).write_text("def train(rows):\n    return None\n")
    with pytest.raises(FingerprintError, match=r"edited in project_under_test\.py"):
        code_fingerprint(module.train)
