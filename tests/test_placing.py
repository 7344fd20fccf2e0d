"""Placing: edited projects are refused early; a failed run takes away only what it made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeflow.artifacts import PROJECT, place
from edgeflow.errors import StoreError
from edgeflow.placing import Placing, earlier_targets


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "store" / "project"
    folder.mkdir(parents=True)
    (folder / "net.cpp").write_text("one")
    return folder


def put(placing: Placing, source: Path, name: str = "board") -> dict[str, str]:
    project = placing.project("net", name, None)
    return placing.place({PROJECT: source}, name, project, Path("unused"), (), print)


def test_paths_are_relative_to_the_report(source: Path, tmp_path: Path) -> None:
    placing = Placing(tmp_path / "out", tmp_path / "hls")
    assert put(placing, source) == {PROJECT: "../hls/net-board"}
    assert placing.project("net", "board", Path("mine")) == Path("mine")


def test_every_edited_project_is_named(source: Path, tmp_path: Path) -> None:
    placing = Placing(tmp_path / "out", tmp_path / "hls")
    projects = [tmp_path / "hls" / name for name in ("a", "b", "new")]
    placing.check(projects)
    for project in projects[:2]:
        place({PROJECT: source}, tmp_path, "x", project)
        (project / "net.cpp").write_text("mine")
    with pytest.raises(StoreError, match="2 projects were edited") as caught:
        placing.check(projects)
    assert [detail.rpartition("/")[2] for detail in caught.value.details] == [
        "a: edited: net.cpp",
        "b: edited: net.cpp",
    ]
    Placing(tmp_path / "out", tmp_path / "hls", force=True).check(projects)


def test_undo_takes_what_the_run_made(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    placing = Placing(out, out / "hls_projects")
    put(placing, source)
    placing.undo()
    assert not out.exists()


def test_undo_leaves_what_another_run_made(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ours, theirs = (Placing(out, out / "hls_projects") for _ in range(2))
    put(theirs, source, "theirs")
    put(ours, source, "ours")
    ours.undo()
    assert [path.name for path in (out / "hls_projects").iterdir()] == ["net-theirs"]
    put(ours, source, "ours")
    (out / "report.json").write_text("{}")  # the other came to its end, and tells of both
    ours.undo()
    assert len(list((out / "hls_projects").iterdir())) == 2


def test_undo_keeps_a_project_that_was_there(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(Placing(out, tmp_path / "hls"), source)
    placing = Placing(out, tmp_path / "hls")
    put(placing, source)
    placing.undo()
    assert (tmp_path / "hls" / "net-board" / "net.cpp").is_file()


def test_folders_of_an_earlier_recipe_are_listed(tmp_path: Path) -> None:
    assert earlier_targets(tmp_path, ["a"]) == []
    record = {"targets": {"a": {}, "b": {}, "c": {}}, "earlier_targets": ["d", "../x"]}
    (tmp_path / "report.json").write_text(json.dumps(record))
    for name in ("a", "b", "d"):
        (tmp_path / name).mkdir()
    (tmp_path.parent / "x").mkdir(exist_ok=True)
    assert earlier_targets(tmp_path, ["a"]) == ["b", "d"]
    (tmp_path / "report.json").write_text("[]")
    assert earlier_targets(tmp_path, ["a"]) == []


def test_the_command_refuses_before_any_work(source: Path, tmp_path: Path) -> None:
    """Exit code 2 before data or model are touched: they do not even exist."""
    project = tmp_path / "hls_projects" / "t-pynq-z2"
    place({PROJECT: source}, tmp_path, "x", project)
    (project / "net.cpp").write_text("mine")
    (tmp_path / "r.yaml").write_text(
        "name: t\nmodel: {layers: [flatten]}\ndata: {source: 'sklearn:digits'}\n"
        "targets: [pynq-z2]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "edgeflow", "run", "r.yaml", "-o", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "edited: net.cpp" in done.stderr
    assert "--force" in done.stderr
    assert not (tmp_path / "out").exists()
    assert (project / "net.cpp").read_text() == "mine"
