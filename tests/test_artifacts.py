"""What a run may replace."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow import artifacts, pipeline, recipe
from edgeflow.errors import EdgeflowError, StoreError


def test_a_folder_of_the_users_is_not_replaced_by_a_project(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "m.onnx").touch()
    path = tmp_path / "r.yaml"
    path.write_text("model: m.onnx\ntargets: {pynq-z2: {project: .}}\n")
    plan, lines = recipe.load(path)
    with pytest.raises(EdgeflowError, match="this is no HLS project"):
        pipeline.aims(plan, lines.where)
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        artifacts.refuse_foreign(tmp_path / "thesis.tex")


def test_a_new_an_empty_and_an_earlier_project_are(tmp_path: Path) -> None:
    artifacts.refuse_foreign(tmp_path / "new")
    artifacts.refuse_foreign(tmp_path)
    (tmp_path / artifacts.MARK).touch()
    artifacts.refuse_foreign(tmp_path)


def test_two_targets_do_not_share_a_project(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    path = tmp_path / "r.yaml"
    text = "model: m.onnx\ntargets:\n  zcu104: {project: p}\n  pynq-z2: {project: q/../p}\n"
    path.write_text(text)
    plan, lines = recipe.load(path)
    with pytest.raises(
        EdgeflowError, match=r"r\.yaml:4: 'project' of 'pynq-z2' is that of 'zcu104'"
    ):
        pipeline.aims(plan, lines.where)
