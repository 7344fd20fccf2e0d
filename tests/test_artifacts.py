"""Artifacts: whole or not at all; what a user added to a project is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow.artifacts import MARK, PROJECT, place, refuse_foreign
from edgeflow.errors import StoreError


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "store" / "project"
    (folder / "firmware").mkdir(parents=True)
    (folder / MARK).write_text("x")
    (folder / "firmware" / "net.cpp").write_text("one")
    return folder


def project(made: Path, tmp_path: Path) -> Path:
    goal = tmp_path / "hls" / "net"
    assert place({PROJECT: made}, tmp_path / "out", "board", goal) == {PROJECT: goal}
    return goal


def test_files_and_folders_are_copied(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "store" / "model.tflite"
    file.write_text("model")
    placed = place({"tflite": file}, tmp_path / "out", "board", tmp_path / "unused")
    assert placed == {"tflite": tmp_path / "out" / "board" / "model.tflite"}
    assert placed["tflite"].read_text() == "model"
    assert (project(made, tmp_path) / "firmware" / "net.cpp").read_text() == "one"


def test_same_project_keeps_what_the_vendor_tool_made(made: Path, tmp_path: Path) -> None:
    report = project(made, tmp_path) / "net_prj" / "report.xml"
    report.parent.mkdir()
    report.write_text("hours of synthesis")
    project(made, tmp_path)
    assert report.read_text() == "hours of synthesis"


def test_another_project_moves_the_old_aside(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    (goal / "net_prj").mkdir()
    (made / "firmware" / "net.cpp").write_text("two")
    project(made, tmp_path)
    assert (goal / "firmware" / "net.cpp").read_text() == "two"
    assert (goal.parent / "net.old-1" / "net_prj").is_dir()
    assert (goal.parent / "net.old-1" / "firmware" / "net.cpp").read_text() == "one"
    (made / "firmware" / "net.cpp").write_text("three")
    project(made, tmp_path)
    assert sorted(path.name for path in goal.parent.iterdir()) == ["net", "net.old-1"]


def test_leftovers_of_a_killed_run_go(made: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "hls" / ".net.edgeflow-dead"
    leftover.mkdir(parents=True)
    project(made, tmp_path)
    assert not leftover.exists()


def test_a_folder_of_the_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refuse_foreign(tmp_path / "mine")
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="no HLS project"):
        refuse_foreign(tmp_path / "mine")


def test_what_cannot_be_written(made: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="hls_project"):
        place({PROJECT: made}, tmp_path / "out", "board", tmp_path / "file" / "net")
