"""The job that chooses the golden inputs: real ones first, random ones to fill up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.errors import UnsupportedError
from edgeflow.network import Layer, Network


def choose(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],  # noqa: ARG001 - every job takes it
) -> dict[str, Any]:
    """Write ``x.npz`` with ``x``: test data, then train data, then random inputs.

    ``params``: ``count`` (at least so many; all of the test data always), ``seed``.
    ``inputs``: ``network`` (its JSON), maybe ``data`` (a dataset's folder).

    Random inputs fill the range of the model's input quantiser; without one they are standard
    normal, or resampled and slightly disturbed real inputs where there are some.

    Raises:
        UnsupportedError: the model has several inputs.
    """
    network = Network.load(inputs["network"])
    if len(network.inputs) != 1:
        raise UnsupportedError(
            f"the model has {len(network.inputs)} inputs: {', '.join(network.inputs)}",
            remedy="verification takes models with one input; export one part of the model",
        )
    entry = network[network.inputs[0]]
    shape = tuple(dim or 1 for dim in entry.output_shape)
    random = np.random.default_rng(params["seed"])
    count = int(params["count"])
    if "data" in inputs:
        with np.load(inputs["data"] / "data.npz", allow_pickle=False) as data:
            test, train = data["x_test"], data["x_train"]
        real = np.concatenate([test, train[: max(0, count - len(test))]])
        again = real[random.integers(0, len(real), max(0, count - len(real)))]
        noise = random.normal(0, 0.05 * float(real.std()), again.shape)
        x = np.concatenate([real, np.clip(again + noise, real.min(), real.max())])
        tests = len(test)
    else:
        real = np.empty((0, *shape))
        x, tests = draw(entry, (count, *shape), random), 0
    np.savez(output / "x.npz", x=x.astype(np.float32))
    return {"count": len(x), "real": len(real), "test": tests}


def draw(entry: Layer, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Random inputs for the input layer `entry`: over its quantiser's range, or standard normal."""
    quantizer = entry.quantizer
    if quantizer is None or quantizer.bits > 16:
        return random.normal(size=shape)
    if quantizer.kind == "affine" and quantizer.scale:
        levels = 2**quantizer.bits
        zero = (quantizer.zero_point or (0,))[0]
        low = -(levels / 2) if quantizer.signed else 0
        return (random.uniform(low, low + levels - 1, shape) - zero) * quantizer.scale[0]
    reach = 2.0 ** (quantizer.integer or 0)
    return random.uniform(-reach if quantizer.signed else 0, reach, shape)
