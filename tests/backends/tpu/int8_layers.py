"""Run by the tpu toolchain: each kind of product in int8 against the same layer in float32.

Prints one JSON line: the kind, and the largest difference in steps of the sums.
"""

from __future__ import annotations

import json

import jax
import numpy as np

from edgeflow.backends.tpu import integer_job
from edgeflow.backends.tpu.integers import Code
from edgeflow.backends.tpu.network_job import forward, integer_plan
from edgeflow.network import Layer, Network, Quantizer, Weight

SCALE, ZERO = 0.05, 7
CASES = {
    "dense": ((6,), (9,), (6, 9), {}),
    "conv1d": ((11, 4), (6, 5), (3, 4, 5), {"strides": [2], "padding": "same"}),
    "conv2d": ((7, 6, 4), (7, 6, 6), (3, 3, 2, 6), {"strides": [1, 1], "padding": "same"}),
    "depthwise_conv2d": ((7, 6, 3), (4, 3, 6), (3, 3, 3, 2), {"strides": 2, "padding": "same"}),
    "conv2d_transpose": ((4, 4, 3), (8, 8, 5), (3, 3, 3, 5), {"strides": 2, "padding": "same"}),
}


def network_of(kind: str, rng: np.random.Generator) -> tuple[Network, dict[str, np.ndarray]]:
    """One layer after a rounded input; its kernel is on a grid of its own per output channel."""
    shape, out, kernel, attributes = CASES[kind]
    outputs = kernel[-1] * (kernel[-2] if kind.startswith("depthwise") else 1)
    scales = rng.uniform(0.01, 0.1, outputs)
    codes = rng.integers(-127, 128, (*kernel[:-2], kernel[-2] * kernel[-1] // outputs, outputs))
    arrays = {
        "layer/kernel": (codes * scales).reshape(kernel).astype(np.float32),
        "layer/bias": (rng.integers(-500, 500, outputs) * scales * SCALE).astype(np.float32),
    }
    quantizer = Quantizer("affine", 8, scale=tuple(scales.tolist()), zero_point=(0,) * outputs)
    zero = 0 if kind.endswith("transpose") else ZERO
    layers = (
        Layer(
            "x", "input", (), (), shape, {}, {},
            Quantizer("affine", 8, scale=(SCALE,), zero_point=(zero,)),
        ),
        Layer(
            "layer", kind, ("x",), (shape,), out, attributes,
            {"kernel": Weight(kernel, 8, None, quantizer), "bias": Weight((outputs,))}, None, 1,
        ),
    )  # fmt: skip
    return Network(kind, layers, ("x",), ("layer",), {"format": "tflite"}), arrays


def main() -> None:
    """Compare each kind."""
    rng = np.random.default_rng(0)
    found = {}
    for kind in CASES:
        network, arrays = network_of(kind, rng)
        x = rng.uniform(-8, 8, (3, *CASES[kind][0])).astype(np.float32)
        (plan,) = integer_plan(network, arrays).products.values()
        assert plan.bias is not None, kind
        (one,), (other,) = (
            jax.jit(forward(network, arrays, precision=p))(x) for p in ("int8", "float32")
        )
        step = np.asarray(plan.scale * SCALE)
        found[kind] = float(np.abs((np.asarray(one) - np.asarray(other)) / step).max())
    by = {"signed": np.ones(3), "integer": np.array([1.0, 2, 0]), "fraction": np.array([3.0, 2, 5])}
    assert integer_job._by_element(by) == Code(2**-5)
    assert integer_job._by_element({**by, "fraction": np.array([3.0, 2, 6])}) is None
    unsigned = {**by, "signed": np.zeros(3), "fraction": np.array([3.0, 2, 6])}
    assert integer_job._by_element(unsigned) == Code(2**-6, -128)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
