"""Verification: does a compiled artifact compute what the model computes, and if not, where."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.network import Network

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """How far a compiled artifact's outputs may be from the model's own.

    ``absolute`` is the largest difference of any output; 0 asks for equality. ``agreement`` is the
    least fraction of inputs whose largest output (the class) is the same. ``reason`` explains
    what makes them differ: the user reads it in the report.
    """

    absolute: float
    agreement: float
    reason: str


@dataclass(frozen=True)
class Divergence:
    """The first layer whose output differs: by how much, and where in the output.

    ``difference`` is the largest absolute one, ``scale`` the largest absolute value of that
    layer's reference output, ``index`` the place (input, then position).
    """

    layer: str
    difference: float
    scale: float
    index: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """How the outputs of one runtime agree with the model's own.

    ``equal`` is the fraction of output values that are the same to the bit; ``agreement`` the
    fraction of inputs with the same largest output; both of `inputs` inputs.
    """

    inputs: int
    equal: float
    max_difference: float
    mean_difference: float
    agreement: float
    passed: bool
    explanation: str
    first_divergence: Divergence | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for the report."""
        return asdict(self)


def compare(golden: Path, simulated: Path, tolerance: Tolerance, network: Network) -> Comparison:
    """Compare a simulation's folder with the golden folder.

    Args:
        golden: holds ``golden.npz`` (``x``, ``y``) and maybe ``trace.npz``.
        simulated: holds ``outputs.npz`` (``y``) and maybe ``trace.npz``.
        tolerance: how far they may be apart.
        network: gives the order of the layers.
    """
    import numpy as np

    want = _array(golden / "golden.npz", "y")
    have = _array(simulated / "outputs.npz", "y")
    if have.size != want.size:
        return Comparison(
            len(want), 0, float("inf"), float("inf"), 0, False,
            f"expected outputs of shape {want.shape}, found {have.shape}", None,
        )  # fmt: skip
    have = have.reshape(want.shape)
    same = have == want
    gap = np.abs(have.astype(np.float64) - want)
    gap[same] = 0  # infinities that are equal
    agreement = _agreement(want, have)
    largest = float(np.nan_to_num(gap, nan=np.inf).max(initial=0))
    passed = largest <= tolerance.absolute and agreement >= tolerance.agreement
    divergence = None
    if largest > 0:
        divergence = first_divergence(
            golden, simulated, network, 0 if passed else _ratio(want, tolerance)
        )
    equal = float(same.mean())
    return Comparison(
        inputs=len(want),
        equal=equal,
        max_difference=largest,
        mean_difference=float(gap.mean()),
        agreement=agreement,
        passed=passed,
        explanation=_explain(equal, largest, agreement, tolerance, passed),
        first_divergence=divergence,
    )


def first_divergence(
    golden: Path, simulated: Path, network: Network, ratio: float
) -> Divergence | None:
    """The first layer, in the Network's order, that differs by more than `ratio` of its scale.

    None where either side has no trace, or no layer of both traces differs by so much.
    """
    import numpy as np

    paths = (golden / "trace.npz", simulated / "trace.npz")
    if not all(path.is_file() for path in paths):
        return None
    with (
        np.load(paths[0], allow_pickle=False) as want,
        np.load(paths[1], allow_pickle=False) as have,
    ):
        for layer in network:
            if layer.name not in want.files or layer.name not in have.files:
                continue
            a, b = want[layer.name], have[layer.name]
            count = min(len(a), len(b))
            if count == 0 or a[:count].size != b[:count].size:
                continue
            gap = np.abs(a[:count].astype(np.float64) - b[:count].reshape(a[:count].shape))
            gap = np.nan_to_num(gap, nan=np.inf)
            scale = float(np.abs(a).max(initial=0))
            if gap.max(initial=0) > ratio * scale:
                index = np.unravel_index(int(gap.argmax()), gap.shape)
                return Divergence(layer.name, float(gap.max()), scale, tuple(int(i) for i in index))
    return None


def accuracy(outputs: Path, data: Path, task: str) -> float | None:
    """Quality of the first outputs, which are those of the test data, in order.

    Classification: the fraction whose largest output is the label (one output: its sign or, for
    outputs in [0, 1], whether it passes 0.5). Regression and reconstruction: the coefficient of
    determination R², against the labels or the inputs themselves. None without test labels.

    Args:
        outputs: an ``.npz`` with ``y``.
        data: the dataset's folder.
        task: ``classification``, ``regression`` or ``reconstruction``.
    """
    import numpy as np

    with np.load(data / "data.npz", allow_pickle=False) as arrays:
        wanted = "x_test" if task == "reconstruction" else "y_test"
        if wanted not in arrays.files:
            return None
        truth = arrays[wanted]
    y = _array(outputs, "y")[: len(truth)]
    if task == "classification":
        y = y.reshape(len(y), -1)
        if y.shape[1] == 1:
            threshold = 0.5 if y.min() >= 0 and y.max() <= 1 else 0.0
            return float(((y[:, 0] > threshold) == (truth > 0)).mean())
        return float((y.argmax(axis=1) == truth).mean())
    if truth.size != y.size:
        return None  # inputs without labels, of a model that does not reconstruct them
    truth = truth.reshape(y.shape).astype(np.float64)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum()
    return float(1 - ((truth - y) ** 2).sum() / spread) if spread else None


METRICS: Mapping[str, str] = {
    "classification": "accuracy",
    "regression": "R²",
    "reconstruction": "R²",
}
"""The name of what `accuracy` gives, by task."""


def _array(path: Path, name: str) -> np.ndarray:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            found: np.ndarray = arrays[name]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"expected an .npz with '{name}': {error}", where=str(path)) from None
    return found


def _agreement(want: np.ndarray, have: np.ndarray) -> float:
    want, have = want.reshape(len(want), -1), have.reshape(len(have), -1)
    if want.shape[1] == 1:
        return 1.0
    return float((want.argmax(axis=1) == have.argmax(axis=1)).mean())


def _ratio(want: np.ndarray, tolerance: Tolerance) -> float:
    """The tolerance as a part of the outputs' scale, to judge inner layers by theirs."""
    import numpy as np

    scale = float(np.abs(want).max(initial=0))
    return min(tolerance.absolute / scale, 0.5) if scale else 0.0


def _explain(
    equal: float, largest: float, agreement: float, tolerance: Tolerance, passed: bool
) -> str:
    if equal == 1:
        return "every output is equal to the bit"
    said = f"{equal:.2%} of the outputs are equal, the largest difference is {largest:.3g}"
    said += f", the class agrees on {agreement:.2%}"
    if passed:
        allowed = f"{tolerance.absolute:.3g}, {tolerance.agreement:.0%}"
        return f"{said}; allowed ({allowed}): {tolerance.reason}"
    return (
        f"{said}; expected at most {tolerance.absolute:.3g} and at least {tolerance.agreement:.0%} "
        f"({tolerance.reason})"
    )
