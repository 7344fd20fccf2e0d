"""Quantisers of few bits in int8, grids of kernels, what shares a scale."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.backends.tflite import plan_job
from edgeflow.network import Layer, Network, Quantizer, Weight


def relu(bits: int, integer: int) -> Quantizer:
    return Quantizer("fixed", bits, signed=False, integer=integer)


@pytest.mark.parametrize("bits", [2, 3, 6, 8])
def test_an_unsigned_quantiser_saturates_where_int8_does(bits: int) -> None:
    layer = Layer("r", "relu", ("x",), ((4,),), (4,), quantizer=relu(bits, 1))
    affine = plan_job._affine(layer)
    step = 2.0 ** (1 - bits)
    assert affine.scale == step
    assert affine.floor is None
    assert (127 - affine.zero_point) * affine.scale == (2**bits - 1) * step
    assert -128 <= affine.zero_point <= 127


def test_a_signed_quantiser_takes_a_maximum() -> None:
    layer = Layer(
        "q", "quantize", ("x",), ((4,),), (4,), quantizer=Quantizer("fixed", 4, integer=0)
    )
    affine = plan_job._affine(layer)
    assert (affine.scale, affine.floor) == (0.125, -1.0)
    assert (127 - affine.zero_point) * affine.scale == 0.875


def test_eight_bits_need_nothing() -> None:
    layer = Layer(
        "q", "quantize", ("x",), ((4,),), (4,), quantizer=Quantizer("fixed", 8, integer=0)
    )
    assert plan_job._affine(layer) == plan_job.Affine(2**-7, 0)


@pytest.mark.parametrize(
    "quantizer",
    [
        Quantizer("binary", 1, scale=(1.0,)),
        Quantizer("fixed", 5.5, integer=1),
        Quantizer("fixed", 12, integer=0),
    ],
)
def test_what_int8_cannot_hold(quantizer: Quantizer) -> None:
    layer = Layer("q", "quantize", ("x",), ((4,),), (4,), quantizer=quantizer)
    assert plan_job._affine(layer) is None


def test_grid_finds_the_step_of_any_uniform_quantiser() -> None:
    random = np.random.default_rng(0)
    for step in (0.125, 0.0371, 3.3):
        q = random.integers(-7, 8, 50)
        found = plan_job.grid((q * step).astype(np.float32))
        assert found is not None
        steps = q * step / found
        assert np.abs(steps - np.round(steps)).max() < 1e-3
        assert 64 <= np.abs(steps).max() <= 127
    assert plan_job.grid(random.normal(size=500).astype(np.float32)) is None
    assert plan_job.grid(np.zeros(4, np.float32)) == 1.0


def test_shared_and_missing_ranges() -> None:
    kernel = Weight((3, 3, 1, 2))
    eight = Quantizer("affine", 8, scale=(0.5,), zero_point=(-128,))
    layers = (
        Layer("x", "input", (), (), (4, 4, 1)),
        Layer("move", "reshape", ("x",), ((4, 4, 1),), (4, 4, 1), quantizer=eight),
        Layer("conv", "conv2d", ("move",), ((4, 4, 1),), (4, 4, 2), weights={"kernel": kernel}),
        Layer("relu", "relu", ("conv",), ((4, 4, 2),), (4, 4, 2)),
        Layer("pool", "max_pool2d", ("relu",), ((4, 4, 2),), (2, 2, 2)),
    )
    network = Network("n", layers, ("x",), ("pool",))
    assert plan_job.missing(network) == ["relu"]
    values = {"conv/kernel": np.ones((3, 3, 1, 2), np.float32)}
    plan = plan_job.make(network, values, {"relu": (-0.1, 25.4)})
    assert plan.activations["x"] == plan.activations["move"]  # the reshape's own, brought forward
    assert "conv" not in plan.activations  # fused into the relu
    assert plan.activations["pool"] == plan.activations["relu"]
    assert plan.emitted == {"x", "relu"}
