"""What the model's own outputs say of how its artifacts are to be compared with them."""

from __future__ import annotations

from pathlib import Path

from edgeflow.backends.base import Request

CLASSIFIERS = frozenset(["softmax", "sigmoid", "log_softmax"])
"""Last layers of models that tell classes."""


def spread(golden: Path) -> float:
    """The largest less the smallest of the model's own outputs, in the golden folder; 0 of none."""
    import numpy as np

    with np.load(golden / "golden.npz", allow_pickle=False) as arrays:
        y = arrays["y"]
    return float(y.max() - y.min()) if y.size else 0.0


def classes(request: Request) -> bool:
    """Whether the model tells classes: by its last layer, or by its data's labels."""
    import numpy as np

    network = request.model.network
    last = network[network.outputs[0]]
    if last.output_size < 2:
        return False
    if last.kind in CLASSIFIERS:
        return True
    if request.data is None:
        return False
    with np.load(request.data / "data.npz", allow_pickle=False) as arrays:
        labels = arrays["y_test"] if "y_test" in arrays.files else np.zeros(0)
    return labels.ndim == 1 and labels.dtype.kind in "iu" and labels.size > 0
