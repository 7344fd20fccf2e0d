"""Verification: does a compiled artifact compute what the model computes, and if not, where."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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

    Where a model ends in a softmax and both sides have its logits, ``absolute`` is of the logits,
    and ``softmax`` how far the artifact's softmax may be from the true one of the same logits.
    """

    absolute: float
    agreement: float
    reason: str
    softmax: float = 1e-6


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

    ``compared`` says of what ``equal`` (the fraction of values that are the same to the bit) and
    the differences are: ``outputs``, or the ``logits`` before a final softmax, where both sides
    have them; ``softmax_difference`` is then the largest one of the outputs themselves.
    ``agreement`` is the fraction of inputs with the same largest output; all of `inputs` inputs.
    """

    inputs: int
    equal: float
    max_difference: float
    mean_difference: float
    agreement: float
    passed: bool
    explanation: str
    first_divergence: Divergence | None
    compared: str = "outputs"
    softmax_difference: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for the report."""
        return asdict(self)


def compare(golden: Path, simulated: Path, tolerance: Tolerance, network: Network) -> Comparison:
    """Compare a simulation's folder with the golden folder.

    The logits decide where both have them; a softmax changes an output by at most half of what
    its logits differ by (the sum of a row of its Jacobian is 2 p (1 - p) <= 1/2).

    Args:
        golden: holds ``golden.npz`` (``x``, ``y``, maybe ``logits``) and maybe ``trace.npz``; or
            another simulation's folder, to be compared with that.
        simulated: holds ``outputs.npz`` (``y``, maybe ``logits``) and maybe ``trace.npz``.
        tolerance: how far they may be apart.
        network: gives the order of the layers.
    """
    source = golden / "golden.npz"
    if not source.is_file():
        source = golden / "outputs.npz"
    y, found = _array(source, "y"), _array(simulated / "outputs.npz", "y")
    if len(found) < len(y):  # a simulation of the first inputs alone
        y = y[: len(found)]
    if found.size != y.size:
        return Comparison(
            len(y), 0, float("inf"), float("inf"), 0, False,
            f"expected outputs of shape {y.shape}, found {found.shape}", None,
        )  # fmt: skip
    want, have = _logits(source), _logits(simulated / "outputs.npz")
    gap = outer = _gap(y, found)
    compared = "outputs"
    bound = tolerance.absolute
    if want is not None and have is not None and want.size == have.size:
        compared, gap = "logits", _gap(want, have)
        bound = tolerance.softmax + min(1.0, tolerance.absolute / 2)
    else:
        want = y
    largest, last = float(gap.max(initial=0)), float(outer.max(initial=0))
    agreement = _agreement(y, found)
    passed = largest <= tolerance.absolute and last <= bound and agreement >= tolerance.agreement
    divergence = None
    if largest > 0:
        divergence = first_divergence(
            golden, simulated, network, 0 if passed else _ratio(want, tolerance)
        )
    made = Comparison(
        inputs=len(y),
        equal=float((gap == 0).mean()),
        max_difference=largest,
        mean_difference=float(gap.mean()),
        agreement=agreement,
        passed=passed,
        explanation="",
        first_divergence=divergence,
        compared=compared,
        softmax_difference=last if compared == "logits" else None,
    )
    return replace(made, explanation=_explain(made, tolerance, bound))


def _gap(want: np.ndarray, have: np.ndarray) -> np.ndarray:
    """Absolute differences; a NaN on either side is infinitely far."""
    import numpy as np

    have = have.reshape(want.shape)
    gap = np.abs(have.astype(np.float64) - want)
    gap[have == want] = 0  # infinities that are equal
    return np.asarray(np.nan_to_num(gap, nan=np.inf))


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


def distance(one: Path, other: Path) -> tuple[float, float]:
    """The largest difference of two ``.npz``' outputs ``y``, and how often the class agrees."""
    a, b = _array(one, "y"), _array(other, "y")
    return float(_gap(a, b).max(initial=0)), _agreement(a, b)


def emulated(golden: Path, outputs: Path) -> float | None:
    """How far an emulation's logits (or outputs) are from the golden ones, as an upper bound.

    None where it has not computed all of them. The bound has room for the last bit of single
    precision tables.
    """
    import numpy as np

    want, have = _logits(golden), _logits(outputs)
    if want is None or have is None:
        want, have = _array(golden, "y"), _array(outputs, "y")
    if want.size != have.size:
        return None
    return float(_gap(want, have).max(initial=0) * 1.01 + np.abs(want).max(initial=0) * 2.0**-16)


def same(one: Path, other: Path) -> float | None:
    """The fraction of logits (or outputs) that are equal, of the inputs that both computed.

    None where there are none of both.
    """
    for name in ("logits", "y"):
        a, b = _logits(one, name), _logits(other, name)
        if a is None or b is None:
            continue
        count = min(len(a), len(b))
        if count and a[:count].size == b[:count].size:
            return float((a[:count].ravel() == b[:count].ravel()).mean())
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
    if len(y) < len(truth):
        return None  # not all of them were run
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


def _logits(path: Path, name: str = "logits") -> np.ndarray | None:
    """The logits of golden vectors or of a simulation; None where it has none."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        found: np.ndarray | None = arrays[name] if name in arrays.files else None
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


def _explain(found: Comparison, tolerance: Tolerance, bound: float) -> str:
    what = found.compared
    last = found.softmax_difference
    if found.equal == 1 and not last:
        return "every output is equal to the bit"
    if found.equal == 1:
        said = "every logit is equal to the bit"
    else:
        said = (
            f"{found.equal:.2%} of the {what} are equal, the largest difference is "
            f"{found.max_difference:.3g}"
        )
    if last is not None:
        said += f"; the softmax differs by up to {last:.3g}"
    said += f", the class agrees on {found.agreement:.2%}"
    allowed = [f"{tolerance.absolute:.3g}"] if found.equal < 1 else []
    allowed += [f"{bound:.3g} after the softmax"] if last is not None else []
    if found.passed:
        return (
            f"{said}; allowed ({', '.join(allowed)}, {tolerance.agreement:.0%}): {tolerance.reason}"
        )
    return (
        f"{said}; expected at most {', '.join(allowed)} and at least {tolerance.agreement:.0%} "
        f"({tolerance.reason})"
    )
