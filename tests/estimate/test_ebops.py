"""EBOPs against HGQ2's own figures, and by hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeflow import toolchains
from edgeflow.estimate.ebops import ebops
from edgeflow.frontends import loader
from edgeflow.jobs import Runner
from edgeflow.network import Layer, Network, Quantizer, Weight, count_macs

MAKE = """
import sys
import numpy as np
import keras
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QConv2D, QDense

keras.utils.set_random_seed(1)
with (
    QuantizerConfigScope(place="all", overflow_mode="SAT", default_q_type="kif"),
    QuantizerConfigScope(place="datalane", i0=2, f0=3),
    QuantizerConfigScope(place="weight", i0=1, f0=4),
    LayerConfigScope(enable_ebops=True, beta0=0),
):
    model = keras.Sequential([
        keras.Input((6, 6, 2)),
        QConv2D(3, 3, padding="same", activation="relu", name="c"),
        keras.layers.Flatten(),
        QDense(4, name="d"),
    ])
model(np.ones((2, 6, 6, 2), np.float32), training=True)
for layer in model.layers:
    if hasattr(layer, "kq"):
        f = layer.kq.quantizer._f
        f.assign(np.random.default_rng(0).integers(0, 5, f.shape))
model(np.ones((2, 6, 6, 2), np.float32), training=True)
model.save(sys.argv[1])
print("EBOPS", *(float(layer.ebops) for layer in model.layers if hasattr(layer, "kq")))
"""


def test_as_hgq2_itself_counts(runner: Runner, tmp_path: Path) -> None:
    chain = toolchains.get("keras")
    toolchains.ensure(chain, lambda _: None)
    script = tmp_path / "make.py"
    script.write_text(MAKE)
    done = subprocess.run(
        [str(chain.interpreter), str(script), str(tmp_path / "model.keras")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("EBOPS"))
    want = [float(word) for word in line.split()[1:]]
    model = loader.load([tmp_path / "model.keras"], runner)
    with np.load(model.weights) as arrays:
        weights = {name: arrays[name] for name in arrays.files}
    found = ebops(model.network, weights)
    assert list(found["layers"].values()) == pytest.approx(want, rel=1e-4)
    assert found["total"] == pytest.approx(sum(want), rel=1e-4)


def fixed(bits: int, integer: int, signed: bool = True) -> Quantizer:
    return Quantizer("fixed", bits, signed, integer, overflow="SAT")


def test_a_dense_layer_by_hand() -> None:
    entry = Layer("x", "input", output_shape=(3,), quantizer=fixed(4, 0))
    weights = {"kernel": Weight((3, 2), 6, 6, fixed(6, 0)), "bias": Weight((2,), 5, 2, fixed(5, 0))}
    dense = Layer("d", "dense", ("x",), ((3,),), (2,), {}, weights)
    network = Network("n", (entry, dense), ("x",), ("d",))
    assert ebops(network)["layers"] == {"d": 3 * 2 * 4 * 6 + 2 * 5}
    assert count_macs(dense) == 6


def test_a_padded_convolution_counts_what_is_there() -> None:
    entry = Layer("x", "input", output_shape=(3, 3, 1), quantizer=fixed(2, 0))
    weights = {"kernel": Weight((3, 3, 1, 1), 3, 9, fixed(3, 0))}
    at = {"padding": "same", "strides": [1, 1], "dilation_rate": [1, 1]}
    conv = Layer("c", "conv2d", ("x",), ((3, 3, 1),), (3, 3, 1), at, weights)
    network = Network("n", (entry, conv), ("x",), ("c",))
    # 9 positions see 4, 6 or 9 elements: 4 corners, 4 edges, the middle
    assert ebops(network)["total"] == (4 * 4 + 4 * 6 + 9) * 2 * 3


def test_bits_by_element() -> None:
    entry = Layer("x", "input", output_shape=(2,), quantizer=fixed(4, 0))
    weights = {"kernel": Weight((2, 1), 3, 2, Quantizer("fixed", 3, True, 0, overflow="WRAP"))}
    dense = Layer("d", "dense", ("x",), ((2,),), (1,), {}, weights)
    network = Network("n", (entry, dense), ("x",), ("d",))
    arrays = {
        "d/kernel@signed": np.ones((2, 1)),
        "d/kernel@integer": np.array([[0], [1]]),
        "d/kernel@fraction": np.array([[-1], [3]]),
    }
    # the first has no bits; the second 1 + 3 without its sign, which HGQ2 leaves out of WRAP's
    assert ebops(network, arrays)["total"] == 4 * 4
