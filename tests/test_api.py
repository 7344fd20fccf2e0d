"""The library's face: ``import edgeflow``."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

import edgeflow


@pytest.mark.parametrize("module", ["edgeflow.estimate.energy", "edgeflow.deploy.connection"])
def test_functions_win_over_packages_of_the_same_name(module: str) -> None:
    assert importlib.import_module(module).__name__ == module
    name = module.split(".")[1]
    assert not isinstance(getattr(edgeflow, name), ModuleType)
    assert callable(getattr(edgeflow, name))


def test_every_name_is_there() -> None:
    assert set(edgeflow.__all__) <= set(dir(edgeflow))
    assert all(callable(getattr(edgeflow, name)) for name in edgeflow.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        edgeflow.nothing  # noqa: B018


def test_errors_can_be_caught_by_name() -> None:
    with pytest.raises(edgeflow.EdgeflowError, match="did you mean 'pynq-z2'"):
        edgeflow.estimate(None, "pinq-z2")
