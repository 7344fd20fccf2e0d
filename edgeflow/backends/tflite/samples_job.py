"""The inputs that ranges are measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeflow.errors import DataError
from edgeflow.network import Network

SEED = 0


def samples(data: Path | None, network: Network, count: int, otherwise: str) -> np.ndarray:
    """A seeded sample of the training inputs, n x …, float32, in the model's order of axes.

    Args:
        data: the folder with ``data.npz``.
        network: of one input, whose shape they take.
        count: at most so many.
        otherwise: what needs no data, for the error's remedy.

    Raises:
        DataError: there are none, or of another shape.
    """
    if data is None:
        raise DataError(
            "this precision needs data to measure the range of each layer",
            remedy=f"give `data` in the recipe, or {otherwise}",
        )
    with np.load(data / "data.npz", allow_pickle=False) as arrays:
        if "x_train" not in arrays.files or not len(arrays["x_train"]):
            raise DataError("expected 'x_train' in the data", remedy="give training inputs")
        x = arrays["x_train"]
    chosen = np.random.default_rng(SEED).permutation(len(x))[:count]
    shape = tuple(int(dim or 1) for dim in network[network.inputs[0]].output_shape)
    x = x[np.sort(chosen)].astype(np.float32)
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
        raise DataError(f"expected inputs of shape {shape}, found {x.shape[1:]}")
    found: np.ndarray = x.reshape(len(x), *shape)
    return found
