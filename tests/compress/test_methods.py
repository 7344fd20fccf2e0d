"""Options by name, with the nearest name for each mistake, and the jobs that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeflow.compress import methods
from edgeflow.errors import RecipeError
from edgeflow.frontends.model import Model


def test_defaults() -> None:
    found = methods.options("qkeras", {})
    assert found["bits"] == 6
    assert found["epochs"] > 0
    assert "seed" not in found  # the recipe's
    assert methods.options("hgq2", {"bits": "auto"})["bits"] == "auto"
    assert methods.options("none", {}) == {}
    assert methods.options("int8", {})["bits"] == 8
    assert methods.names() == ["qkeras", "hgq2", "int8", "none"]


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("qkera", {}, "did you mean 'qkeras'"),
        ("qkeras", {"epoch": 3}, "unknown option 'epoch' .did you mean 'epochs'"),
        ("qkeras", {"bits": "auto"}, "'bits': .*valid integer.*'auto'"),
        ("qkeras", {"bits": 1}, "greater than or equal to 2"),
        ("hgq2", {"bits": "all"}, "'auto'"),
        ("int8", {"bits": 4}, "'bits': input should be 8, found 4"),
        ("int8", {"learning_rate": 0}, "greater than 0"),
        ("none", {"bits": 6}, "none is known"),
        ("qkeras", {"layers": {"dense": {"bit": 4}}}, "'layers.dense.bit' .did you mean 'bits'"),
    ],
)
def test_mistakes(method: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        methods.options(method, given, "recipe.yaml:7")
    assert caught.value.where == "recipe.yaml:7"


def test_all_mistakes_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        methods.options("qkeras", {"epoch": 3, "bit": 4})
    assert "epoch" in str(caught.value)
    assert "'bit'" in str(caught.value)


def test_layers_must_be_in_the_model(branched: Model, tmp_path: Path) -> None:
    options = methods.options("qkeras", {"layers": {"dens": {"bits": 4}}})
    with pytest.raises(RecipeError, match="no layer 'dens' .did you mean 'dense'"):
        methods.job("qkeras", branched, tmp_path, options)


def test_toolchains(branched: Model, tmp_path: Path) -> None:
    homes = {
        name: methods.job(name, branched, tmp_path, methods.options(name, {})).toolchain
        for name in methods.names()
        if name != "none"
    }
    assert homes == {"qkeras": "qkeras", "hgq2": "keras", "int8": "keras"}
