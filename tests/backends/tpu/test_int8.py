"""precision int8: integers in the graph, and the model's own numbers out of it."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.base import Request
from edgeflow.backends.tpu import integers
from edgeflow.backends.tpu.backend import BACKEND
from edgeflow.errors import UnsupportedError
from edgeflow.network import Network, Quantizer
from edgeflow.verify import compare

spec = importlib.util.spec_from_file_location(
    "tpu_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)

PRODUCT = re.compile(
    r"stablehlo\.(\w+)[^\n]*: \(tensor<\S*xi8>, tensor<\S*xi8>\) -> tensor<\S*xi32>"
)
OPTIONS = BACKEND.options({"precision": "int8", "batch": 4}, "here")


def rounded(x, quantizer):
    """A fixed quantiser in float64 numpy, ties to even."""
    step = 2.0 ** (quantizer.integer + quantizer.signed - quantizer.bits)
    top = 2.0 ** (quantizer.bits - quantizer.signed)
    return np.clip(np.rint(x / step), -top * quantizer.signed, top - 1) * step


def quantised(inputs: Quantizer, inner: Quantizer) -> tuple[Network, dict[str, np.ndarray]]:
    """`networks.small` with its input, relu and pool rounded, its weights on 1/16."""
    network, arrays = networks.small(inner)
    arrays = {name: np.clip(array, -7.5, 7.5) for name, array in arrays.items()}
    layers = tuple(
        replace(
            layer,
            quantizer={"image": inputs, "relu": inner, "pool": inner}.get(layer.name),
            weights={role: replace(w, bits=8) for role, w in layer.weights.items()},
        )
        for layer in network
    )
    return network.with_layers(layers), arrays


def logits(x, arrays, inputs, inner):
    """What `quantised` computes before its softmax, in float64 numpy."""
    padded = np.pad(rounded(x.astype(np.float64), inputs), [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    y = np.einsum("bhwcij,ijco->bhwo", windows, arrays["conv/kernel"].astype(np.float64))
    y = rounded(np.maximum(y + arrays["conv/bias"], 0), inner)
    y = rounded(y.reshape(-1, 4, 2, 4, 2, 8).mean((2, 4)), inner)
    return y.reshape(len(x), -1) @ arrays["dense/kernel"].astype(np.float64)


@pytest.mark.parametrize(
    ("inputs", "inner"),
    [
        (Quantizer("fixed", 8, True, 2), Quantizer("fixed", 6, False, 3)),
        (Quantizer("fixed", 8, False, 0), Quantizer("fixed", 8, False, 3)),
        (Quantizer("fixed", 4, True, 1), Quantizer("fixed", 7, True, 3)),
    ],
    ids=["signed", "unsigned of 8 bits", "few bits"],
)
def test_powers_of_two_are_equal_to_the_bit(runner, tmp_path, inputs, inner):
    network, arrays = quantised(inputs, inner)
    network = network.with_layers(network.layers[:-1])
    network = replace(network, outputs=("dense",))
    model = networks.save(tmp_path / "model", network, arrays)
    x = np.random.default_rng(2).normal(size=(30, 8, 8, 3)).astype(np.float32)
    y = logits(x, arrays, inputs, inner).astype(np.float32)
    golden = networks.golden(tmp_path / "golden", x, y)
    request = Request(model, networks.tpu(), OPTIONS, golden=golden)
    assert BACKEND.check(network, request.target, OPTIONS) == []
    compiled = runner.run(BACKEND.compile(request))
    text = (compiled.path / "model.mlir").read_text()
    assert sorted(PRODUCT.findall(text)) == ["convolution", "dot_general"]
    assert compiled.result["integer_layers"] == ["conv", "dense"]
    assert compiled.result["notes"] == []
    (simulation,) = BACKEND.simulate(request, compiled.path)
    simulated = runner.run(simulation.job)
    with np.load(simulated.path / "outputs.npz") as stored:
        np.testing.assert_array_equal(stored["y"], y)
    assert compare(golden, simulated.path, simulation.tolerance, network).passed


def test_an_unrounded_input_leaves_its_layer_in_float(runner, tmp_path):
    network, arrays = quantised(None, Quantizer("fixed", 6, False, 3))
    model = networks.save(tmp_path / "model", network, arrays)
    compiled = runner.run(BACKEND.compile(Request(model, networks.tpu(), OPTIONS)))
    assert compiled.result["integer_layers"] == ["dense"]
    assert list(compiled.result["float_layers"]) == ["conv"]
    (note,) = compiled.result["notes"]
    assert "conv (its input is not rounded to 8 bits or fewer)" in note
    text = (compiled.path / "model.mlir").read_text()
    assert PRODUCT.findall(text) == ["dot_general"]


def test_a_float_model_is_refused_layer_by_layer():
    found = BACKEND.check(networks.small()[0], networks.tpu(), OPTIONS)
    assert [problem.layer for problem in found] == ["conv", "dense"]
    assert all("retrain" in problem.remedy for problem in found)


def test_weights_off_the_grid_are_refused(runner, tmp_path):
    network, arrays = quantised(Quantizer("fixed", 8, True, 2), Quantizer("fixed", 6, False, 3))
    random = np.random.default_rng(3)
    arrays = {name: random.normal(size=a.shape).astype(np.float32) for name, a in arrays.items()}
    model = networks.save(tmp_path / "model", network, arrays)
    with pytest.raises(UnsupportedError, match="no layer of the model computes") as caught:
        runner.run(BACKEND.compile(Request(model, networks.tpu(), OPTIONS)))
    assert "do not lie on a grid" in str(caught.value.details)


def test_codes():
    assert integers.code_of(Quantizer("fixed", 8, True, 0)) == integers.Code(2**-7, 0)
    assert integers.code_of(Quantizer("fixed", 8, False, 0)) == integers.Code(2**-8, -128)
    assert integers.code_of(Quantizer("fixed", 5, False, 1)) == integers.Code(2**-4, 0)
    assert integers.code_of(Quantizer("affine", 8, True, scale=(0.1,), zero_point=(3,))) == (
        integers.Code(0.1, 3)
    )
    for quantizer in (None, Quantizer("fixed", 9, True, 0), Quantizer("po2", 4)):
        assert integers.code_of(quantizer) is None


def test_every_kind_of_product_is_that_of_the_float_graph():
    """Zero points, padding, groups, strides: integers and float32 differ by float32's rounding."""
    import json
    import os
    import subprocess
    import sys

    from edgeflow import toolchains

    root = Path(sys.modules["edgeflow"].__file__).parents[1]
    done = subprocess.run(
        [toolchains.ensure(toolchains.get("tpu")), Path(__file__).with_name("int8_layers.py")],
        capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == integers.PRODUCTS - {"conv1d_transpose", "depthwise_conv1d"}
    # Sums of some tens of thousands of steps: float32 is off by hundredths of a step.
    assert max(found.values()) < 0.1, found
