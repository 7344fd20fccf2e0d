"""Verification: equality, tolerance, and the first layer that diverges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow import verify
from edgeflow.errors import DataError
from edgeflow.network import Layer, Network
from edgeflow.verify import Tolerance

NETWORK = Network(
    "n",
    tuple(
        Layer(name, kind, inputs)
        for name, kind, inputs in [("x", "input", ()), ("b", "relu", ("x",)), ("a", "relu", ("b",))]
    ),
    ("x",),
    ("a",),
)
EXACT = Tolerance(0, 1, "quantisers allow it")


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    y = random.normal(size=(50, 4)).astype(np.float32)
    return folder(tmp_path / "golden", "golden", y, b=y[:8] * 2, a=y[:8])


def folder(path: Path, name: str, y: np.ndarray, **trace: Any) -> Path:
    path.mkdir()
    np.savez(path / f"{name}.npz", x=np.zeros((len(y), 1)), y=y)
    np.savez(path / "trace.npz", **trace)
    return path


def outputs(golden: Path) -> np.ndarray:
    with np.load(golden / "golden.npz") as arrays:
        return np.array(arrays["y"])


def test_equal(golden: Path, tmp_path: Path) -> None:
    y = outputs(golden)
    same = folder(tmp_path / "s", "outputs", y.reshape(50, 2, 2), b=y[:8] * 2, a=y[:8])
    result = verify.compare(golden, same, EXACT, NETWORK)
    assert result.passed
    assert (result.equal, result.max_difference, result.agreement) == (1, 0, 1)
    assert result.first_divergence is None
    assert result.inputs == 50


def test_first_layer_that_diverges_in_the_networks_order(golden: Path, tmp_path: Path) -> None:
    y = outputs(golden)
    wrong = y[:8] * 2
    wrong[3, 1] += 0.25
    other = folder(tmp_path / "s", "outputs", y + 0.5, a=y[:8] + 0.5, b=wrong)
    result = verify.compare(golden, other, EXACT, NETWORK)
    assert not result.passed
    assert result.first_divergence is not None
    assert result.first_divergence.layer == "b"
    assert result.first_divergence.difference == pytest.approx(0.25)
    assert result.first_divergence.index == (3, 1)
    assert result.max_difference == pytest.approx(0.5)


def test_tolerance_and_agreement_both_decide(golden: Path, tmp_path: Path) -> None:
    y = outputs(golden)
    near = folder(tmp_path / "near", "outputs", y + np.float32(0.01))
    assert verify.compare(golden, near, Tolerance(0.02, 1, "rounding"), NETWORK).passed
    assert not verify.compare(golden, near, Tolerance(0.005, 1, "rounding"), NETWORK).passed
    swapped = folder(tmp_path / "swapped", "outputs", y[:, ::-1])
    assert not verify.compare(golden, swapped, Tolerance(100, 0.9, "rounding"), NETWORK).passed


def test_nan_never_passes(golden: Path, tmp_path: Path) -> None:
    y = outputs(golden)
    y[0, 0] = np.nan
    bad = folder(tmp_path / "nan", "outputs", y)
    result = verify.compare(golden, bad, Tolerance(1e9, 0, "anything"), NETWORK)
    assert not result.passed


def test_other_shape_never_passes(golden: Path, tmp_path: Path) -> None:
    bad = folder(tmp_path / "shape", "outputs", outputs(golden)[:, :3])
    result = verify.compare(golden, bad, Tolerance(1e9, 0, "anything"), NETWORK)
    assert not result.passed
    assert "(50, 4)" in result.explanation


def test_accuracy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez(data / "data.npz", x_test=x, y_test=np.array([2, 2, 0, 1]))
    np.savez(tmp_path / "y.npz", y=np.concatenate([x, x]))
    assert verify.accuracy(tmp_path / "y.npz", data, "classification") == 0.5
    assert verify.accuracy(tmp_path / "y.npz", data, "reconstruction") == 1
    np.savez(tmp_path / "one.npz", y=np.array([[3.0], [-1], [-1], [2]]))
    np.savez(data / "data.npz", x_test=x, y_test=np.array([1, 0, 0, 0]))
    assert verify.accuracy(tmp_path / "one.npz", data, "classification") == 0.75
    np.savez(data / "data.npz", x_test=x)
    assert verify.accuracy(tmp_path / "y.npz", data, "classification") is None


def test_missing_outputs(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="outputs.npz"):
        verify.compare(golden, tmp_path, EXACT, NETWORK)


def with_logits(path: Path, name: str, logits: np.ndarray, softened: float = 0) -> Path:
    path.mkdir()
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    y = power / power.sum(axis=1, keepdims=True) + softened
    np.savez(path / f"{name}.npz", x=np.zeros((len(y), 1)), y=y, logits=logits)
    return path


def test_logits_decide_where_both_have_them(tmp_path: Path) -> None:
    logits = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    golden = with_logits(tmp_path / "golden", "golden", logits)
    soft = Tolerance(0, 0.9, "tables", softmax=0.01)
    same = verify.compare(
        golden, with_logits(tmp_path / "a", "outputs", logits, 0.005), soft, NETWORK
    )
    assert same.passed
    assert (same.compared, same.equal, same.max_difference) == ("logits", 1, 0)
    assert same.softmax_difference == pytest.approx(0.005)
    assert "every logit is equal to the bit" in same.explanation
    assert same.first_divergence is None
    worse = verify.compare(
        golden, with_logits(tmp_path / "b", "outputs", logits, 0.02), soft, NETWORK
    )
    assert not worse.passed
    near = with_logits(tmp_path / "c", "outputs", logits + np.float32(1e-3))
    assert not verify.compare(golden, near, soft, NETWORK).passed  # the same outputs, other logits
    assert verify.compare(golden, near, Tolerance(2e-3, 0.9, "rounding"), NETWORK).passed


def test_outputs_decide_where_one_side_has_no_logits(golden: Path, tmp_path: Path) -> None:
    y = outputs(golden)
    with_both = with_logits(tmp_path / "golden2", "golden", y)
    plain = folder(tmp_path / "s", "outputs", np.load(with_both / "golden.npz")["y"])
    found = verify.compare(with_both, plain, EXACT, NETWORK)
    assert found.passed
    assert found.compared == "outputs"
    assert found.softmax_difference is None


def test_logits_of_a_network() -> None:
    def network(*layers: tuple[str, str, tuple[str, ...]]) -> Network:
        made = tuple(Layer(*layer) for layer in layers)
        return Network("n", made, ("x",), (made[-1].name,))

    entry = ("x", "input", ())
    fc, soft = ("fc", "dense", ("x",)), ("s", "softmax", ("fc",))
    assert network(entry, fc, soft).logits == "fc"
    assert network(entry, fc, soft, ("q", "quantize", ("s",))).logits == "fc"
    assert network(entry, fc).logits is None
    assert network(entry, fc, soft, ("end", "dense", ("s",))).logits is None
