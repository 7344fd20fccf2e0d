"""Recipes: names that become folders, and paths that are relative to the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow import recipe
from edgeflow.errors import RecipeError


def write(folder: Path, targets: str) -> Path:
    (folder / "m.onnx").touch()
    path = folder / "r.yaml"
    path.write_text(f"model: m.onnx\ntargets: {targets}\n")
    return path


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ("{../evil: {target: pynq-z2}}", "'../evil' cannot name a folder"),
        ("{a/b: {target: pynq-z2}}", "'a/b' cannot name a folder"),
        ("{report.json: {target: pynq-z2}}", "'report.json' cannot name a folder"),
        ("[pynq-z2, pynq-z2]", "'pynq-z2' stands twice"),
        ("pynq-z2", "expected a list of targets"),
        ("[]", "expected a list of targets"),
        ("[1, 2]", "expected a list of targets"),
    ],
)
def test_names_of_targets(tmp_path: Path, targets: str, words: str) -> None:
    with pytest.raises(RecipeError, match=r"r\.yaml:2") as caught:
        recipe.load(write(tmp_path, targets))
    assert words in str(caught.value)


def test_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "{a: {target: boards/b.yaml, project: hls/a}, pynq-z2: }")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    plan, _ = recipe.load(Path("..") / path.name)
    assert plan.model.file is not None
    assert plan.model.file.samefile(tmp_path / "m.onnx")
    project, target = plan.targets["a"].project, plan.targets["a"].target
    assert project is not None
    assert target is not None
    assert project.resolve() == (tmp_path / "hls" / "a").resolve()
    assert Path(target).resolve() == (tmp_path / "boards" / "b.yaml").resolve()
    assert plan.targets["pynq-z2"].target is None


def test_a_target_given_as_a_file_has_a_plain_name() -> None:
    plan = recipe.from_files([Path("m.onnx")], ["/some where/my board.yaml", "pynq-z2"])
    assert list(plan.targets) == ["my-board", "pynq-z2"]
    assert plan.targets["my-board"].target == "/some where/my board.yaml"
    with pytest.raises(RecipeError, match="two targets are named 'b'"):
        recipe.from_files([Path("m.onnx")], ["x/b.yaml", "y/b.yaml"])


def test_no_inputs_to_verify_with() -> None:
    with pytest.raises(RecipeError, match="at least one golden vector, found 0"):
        recipe.from_files([Path("m.onnx")], ["pynq-z2"], inputs=0)
