"""YAML that people write: bounded, and refused by line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from edgeflow import yamlfile
from edgeflow.errors import RecipeError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    bits: int = 8


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    layers: dict[str, Inner] = {}
    steps: list[Inner] = []
    maybe: Inner | None = None


def read(tmp_path: Path, text: str | bytes) -> object:
    path = tmp_path / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    data, lines = yamlfile.read(path)
    return yamlfile.validate(Outer, data, lines)


def test_lines_of_nested_values(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("name: x\nlayers:\n  a:\n    bits: 4\nsteps:\n  - bits: 1\n  - bits: 2\n")
    data, lines = yamlfile.read(path)
    assert data["layers"] == {"a": {"bits": 4}}
    assert lines.at(("layers", "a", "bits")) == 4
    assert lines.at(("steps", 1, "bits")) == 7
    assert lines.at(("steps", 9)) == 5
    assert lines.at(("layers", "a", "no such key")) == 3
    assert lines.where(()) == f"{path}:1"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: x\nlayers:\n  a: {bit: 4}\n", 3, "did you mean 'bits'"),
        ("name: x\nsteps:\n  - {bits: 1}\n  - {bts: 2}\n", 4, "did you mean 'bits'"),
        ("name: x\nmaybe:\n  bts: 3\n", 3, "did you mean 'bits'"),
        ("layers: {}\n", 1, "the key 'name' is missing"),
        ("name: [1]\n", 1, "'name'.*found a list"),
        ("- a\n", 1, "expected keys and values, found a list"),
        ("", 1, "expected keys and values, found nothing"),
        ("name: x\nname: y\n", 2, "stands twice"),
        (b"name: \xff\n", 1, "UTF-8"),
        ("name: x\n\tlayers: 3\n", 2, "expected YAML"),
        ("name: &a [*a]\n", 1, "alias"),
        ("name: x\n--- \nname: y\n", 2, "expected YAML"),
    ],
)
def test_faults(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        read(tmp_path, text)
    assert f"file.yaml:{line}" in str(caught.value)


def test_billion_laughs(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(RecipeError, match="50,000 values"):
        read(tmp_path, "\n".join(rows))


@pytest.mark.parametrize("text", ["[" * 100_000, "name: x\nlayers: " + "{a: " * 5_000])
def test_deep_nesting(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match="50 levels"):
        read(tmp_path, text)


def test_huge_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="1,000,000 bytes"):
        read(tmp_path, "name: " + "x" * 2_000_000)


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read"):
        yamlfile.read(tmp_path / "missing.yaml")
    with pytest.raises(RecipeError, match="cannot read"):
        yamlfile.read(tmp_path)


def test_random_bytes_end_in_one_error(tmp_path: Path) -> None:
    source = random.Random(0)
    letters = b"ab:-[]{}&*!|>'\"#%@`,? \n\t\x00\xc3\xa4\xff0.~"
    for _ in range(500):
        text = bytes(source.choice(letters) for _ in range(source.randrange(1, 60)))
        with pytest.raises(RecipeError):
            read(tmp_path, text)
