"""Values as fixed-point types take them, and golden inputs on a design's grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends import grid_job
from edgeflow.backends.fixed_job import held, parse

VALUES = np.array([-2.5, -1.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.5, 2.5])


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("TRN", [-3, -2, -1, -1, 0, 0, 0, 1, 2]),
        ("TRN_ZERO", [-2, -1, 0, 0, 0, 0, 0, 1, 2]),
        ("RND", [-2, -2, 0, 0, 0, 1, 1, 2, 3]),
        ("RND_CONV", [-2, -2, 0, 0, 0, 0, 1, 2, 2]),
        ("RND_INF", [-3, -2, -1, 0, 0, 1, 1, 2, 3]),
        ("RND_ZERO", [-2, -2, 0, 0, 0, 0, 1, 1, 2]),
        ("RND_MIN_INF", [-3, -2, -1, 0, 0, 0, 1, 1, 2]),
    ],
)
def test_rounding_as_ap_fixed(mode: str, wanted: list[float]) -> None:
    """The modes of UG1399, table "Quantization Modes", on its own kind of examples."""
    np.testing.assert_array_equal(held(VALUES, parse(f"fixed<8,8,{mode},SAT>")), wanted)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("SAT", [-4, -4, 3, 3]),
        ("SAT_SYM", [-3, -3, 3, 3]),
        ("SAT_ZERO", [0, -4, 3, 0]),
        ("WRAP", [3, -4, 3, -4]),
    ],
)
def test_overflow_as_ap_fixed(mode: str, wanted: list[float]) -> None:
    np.testing.assert_array_equal(
        held(np.array([-5, -4, 3, 4]), parse(f"fixed<3,3,TRN,{mode}>")), wanted
    )


def test_inputs_go_onto_the_grid(tmp_path: Path) -> None:
    golden, output = tmp_path / "golden", tmp_path / "output"
    golden.mkdir()
    output.mkdir()
    x = np.array([[0.3, -1.2, 5.0, 0.5]], np.float32)
    np.savez(golden / "golden.npz", x=x)
    params = {"type": "fixed<6,3,RND_CONV,SAT>", "quantizer": None}
    found = grid_job.round_inputs({"golden": golden}, params, output, lambda *_: None)
    with np.load(output / "x.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], [[0.25, -1.25, 3.875, 0.5]])
    assert found["changed"] == 0.75
    assert found["outside"] == 0.25
    assert found["difference"] == pytest.approx(1.125)


def test_integer_models_round_their_inputs_themselves(tmp_path: Path) -> None:
    """On its own grid first: the model's outputs stay what they are, the design's get there."""
    golden, output = tmp_path / "golden", tmp_path / "output"
    golden.mkdir()
    output.mkdir()
    np.savez(golden / "golden.npz", x=np.array([[0.0, 0.14, 0.16, 99.0]], np.float32))
    quantizer = {
        "kind": "affine", "bits": 8, "signed": True, "narrow": False,
        "scale": [0.1], "zero_point": [-128],
    }  # fmt: skip
    params = {"type": "ufixed<24,5,RND_CONV,SAT>", "quantizer": quantizer}
    grid_job.round_inputs({"golden": golden}, params, output, lambda *_: None)
    with np.load(output / "x.npz") as arrays:
        np.testing.assert_allclose(arrays["x"], [[0.0, 0.1, 0.2, 25.5]], atol=2.0**-19)
