"""The library's face: ``import edgeflow``."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

import edgeflow
from edgeflow.network import Network


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


def test_a_target_takes_its_backends_only() -> None:
    network = Network("n", (), (), ())
    with pytest.raises(edgeflow.EdgeflowError, match="'pynq-z2' is not for the backend 'tflite'"):
        edgeflow.estimate(network, "pynq-z2", backend="tflite")
    with pytest.raises(edgeflow.EdgeflowError, match="expected one of tpu"):
        edgeflow.check(network, "tpu-v4", backend="hls4ml")
