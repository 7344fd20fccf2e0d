"""Artifacts: whole or not at all; what a user edited or added in a project is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow.artifacts import (
    MANIFEST,
    MARK,
    PROJECT,
    place,
    refuse_edited,
    refuse_foreign,
    work,
)
from edgeflow.errors import StoreError


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "store" / "project"
    (folder / "firmware").mkdir(parents=True)
    (folder / MARK).write_text("x")
    (folder / "firmware" / "net.cpp").write_text("one")
    return folder


def project(made: Path, tmp_path: Path, force: bool = False, kind: str = PROJECT) -> Path:
    goal = tmp_path / "hls" / "net"
    assert place({kind: made}, tmp_path / "out", "board", goal, force) == {kind: goal}
    return goal


def change(made: Path, text: str = "two") -> None:
    """The next project is another one."""
    (made / "firmware" / "net.cpp").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_and_folders_are_copied(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "store" / "model.tflite"
    file.write_text("model")
    placed = place(
        {"tflite": file, "reports": made}, tmp_path / "out", "board", tmp_path / "unused"
    )
    assert placed["tflite"] == tmp_path / "out" / "board" / "model.tflite"
    assert placed["tflite"].read_text() == "model"
    assert not (placed["reports"] / MANIFEST).exists()  # nobody works in it
    assert (project(made, tmp_path) / "firmware" / "net.cpp").read_text() == "one"


@pytest.mark.parametrize("kind", ["hls_project", "rtl_project", "rtl_design"])
def test_a_project_that_nobody_edited_is_replaced(made: Path, tmp_path: Path, kind: str) -> None:
    (made / MARK).unlink()  # an RTL project has none
    goal = project(made, tmp_path, kind=kind)
    assert work(goal).known
    change(made)
    refuse_edited(goal)
    project(made, tmp_path, kind=kind)
    assert (goal / "firmware" / "net.cpp").read_text() == "two"
    assert names(goal.parent) == ["net"]


def test_an_edited_project_is_refused(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    (goal / "firmware" / "net.cpp").write_text("mine")
    change(made)
    with pytest.raises(StoreError, match=r"was edited \(1 file\)") as early:
        refuse_edited(goal)
    assert early.value.details == ("edited: firmware/net.cpp",)
    assert "--force" in str(early.value.remedy)
    with pytest.raises(StoreError, match="was edited"):  # edited while the run went on
        project(made, tmp_path)
    assert (goal / "firmware" / "net.cpp").read_text() == "mine"
    assert names(goal.parent) == ["net"]


def test_force_keeps_the_edited_one_aside(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    (goal / "firmware" / "net.cpp").write_text("mine")
    change(made)
    refuse_edited(goal, force=True)
    said: list[str] = []
    place({PROJECT: made}, tmp_path, "board", goal, force=True, say=said.append)
    assert (goal / "firmware" / "net.cpp").read_text() == "two"
    assert (goal.parent / "net.old-1" / "firmware" / "net.cpp").read_text() == "mine"
    assert said == ["the earlier project, with your edits, is kept as net.old-1"]
    assert not work(goal).changed
    (goal / "firmware" / "net.cpp").write_text("mine again")
    project(made, tmp_path, force=True)
    assert names(goal.parent) == ["net", "net.old-1", "net.old-2"]


def test_added_files_move_on(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    (goal / "notes").mkdir()
    (goal / "notes" / "todo.md").write_text("mine")
    (goal / "testbench").write_text("scrap")
    (goal / "__pycache__").mkdir()
    change(made)
    refuse_edited(goal)
    said: list[str] = []
    place({PROJECT: made}, tmp_path, "board", goal, say=said.append)
    assert (goal / "firmware" / "net.cpp").read_text() == "two"
    assert (goal / "notes" / "todo.md").read_text() == "mine"
    assert "notes/todo.md" in said[0]
    assert work(goal).added == ("notes/todo.md",)
    assert names(goal.parent) == ["net"]


def test_an_added_file_whose_name_is_wanted(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    (goal / "defines.h").write_text("mine")
    (made / "defines.h").write_text("generated")
    with pytest.raises(StoreError, match="names of generated ones"):
        project(made, tmp_path)
    project(made, tmp_path, force=True)
    assert (goal / "defines.h").read_text() == "generated"
    assert (goal.parent / "net.old-1" / "defines.h").read_text() == "mine"


def test_same_project_keeps_what_the_vendor_tool_made(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    report = goal / "net_prj" / "solution1" / "report.xml"
    report.parent.mkdir(parents=True)
    report.write_text("hours of synthesis")
    (goal / "vivado_hls.log").write_text("log")
    assert work(goal).by_tool == ("net_prj", "vivado_hls.log")
    refuse_edited(goal)
    project(made, tmp_path)
    assert report.read_text() == "hours of synthesis"


def test_results_of_a_tool_do_not_stay_beside_another_project(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    (goal / "net_prj").mkdir()
    change(made)
    said: list[str] = []
    place({PROJECT: made}, tmp_path, "board", goal, say=said.append)
    assert (goal / "firmware" / "net.cpp").read_text() == "two"
    assert not (goal / "net_prj").exists()
    assert (goal.parent / "net.old-1" / "net_prj").is_dir()
    assert said == ["the earlier project, with a tool's results, is kept as net.old-1"]


def test_a_project_without_manifest(made: Path, tmp_path: Path) -> None:
    goal = project(made, tmp_path)
    (goal / MANIFEST).unlink()
    with pytest.raises(StoreError, match="without .edgeflow-manifest"):
        refuse_edited(goal)
    project(made, tmp_path)  # the same to the byte: known again
    assert work(goal).known
    (goal / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="nobody can tell"):
        refuse_edited(goal)
    change(made)
    project(made, tmp_path, force=True)
    assert names(goal.parent) == ["net", "net.old-1"]


def test_leftovers_of_a_killed_run_go(made: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "hls" / ".net.edgeflow-dead"
    leftover.mkdir(parents=True)
    project(made, tmp_path)
    assert not leftover.exists()


def test_a_folder_of_the_user_is_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refuse_foreign(tmp_path / "mine")
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for refuse in (
        lambda: refuse_foreign(tmp_path / "mine"),
        lambda: place({PROJECT: made}, tmp_path, "board", tmp_path / "mine", True),
    ):
        with pytest.raises(StoreError, match="no project of edgeflow's"):
            refuse()
    assert names(tmp_path / "mine") == ["thesis.tex"]


def test_what_cannot_be_written(made: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="hls_project"):
        place({PROJECT: made}, tmp_path / "out", "board", tmp_path / "file" / "net")
