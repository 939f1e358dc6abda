"""A project works in a folder with any letters, and its commands from any folder."""

from pathlib import Path

import polars as pl

from tests.cli.bad import LOOP, csv, rides, works


def test_a_project_works_in_a_folder_with_any_letters_and_from_any_other(homeostat, tmp_path, monkeypatch):
    project = tmp_path / "my [old] é"
    project.mkdir()
    (project / "rides.csv").write_text(csv(rides()))
    (project / "loop.py").write_text(LOOP)
    monkeypatch.chdir(project)
    works(homeostat)
    rides().tail(20).drop("late", "done").write_parquet("new rides [1].parquet")
    made = homeostat("infer", "new rides [1].parquet", "--output", "said [1].parquet", "--version", "1")
    assert made.code == 0, made.err
    with (project / "said [1].parquet").open("rb") as file:
        assert pl.read_parquet(file).height == 20
    assert homeostat("verify").code == 0
    monkeypatch.chdir(tmp_path)
    again = homeostat("run", "--loop", f"{project.name}/loop.py", "--store", f"{project.name}/.homeostat", "--json")
    assert again.code == 0, again.err
    assert {path.name for path in tmp_path.iterdir()} == {project.name}, "nothing was written beside it"
    assert Path.cwd() == tmp_path
