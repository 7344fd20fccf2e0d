"""Each kind of layer, layout and quantiser as ONNX equals the Keras twin."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import edgeflow
from edgeflow import toolchains
from edgeflow.backends.onnxruntime import support

SCRIPT = Path(__file__).with_name("kinds.py")


@pytest.fixture(scope="module")
def differences() -> dict[str, tuple[float, float]]:
    """The largest difference and the range of the outputs, by case."""
    chain = toolchains.get("keras")
    package = Path(edgeflow.__file__).parents[1]
    done = subprocess.run(
        [str(toolchains.ensure(chain)), str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **chain.environment, "PYTHONPATH": str(package)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return found


def test_every_kind_has_a_case(differences: dict[str, tuple[float, float]]) -> None:
    tried = {case.split(",")[0].split(" ")[0] for case in differences}
    assert set(support.TABLE) - {"input", "constant"} <= tried


def test_every_case_equals_keras(differences: dict[str, tuple[float, float]]) -> None:
    wrong = {
        case: gap
        for case, (gap, spread) in differences.items()
        if gap > (1e-6 if case.startswith("rounding") else 5e-6) * max(1, spread)
    }
    assert not wrong
    flat = {case for case, (_, spread) in differences.items() if spread == 0}
    assert not flat  # a constant output compares nothing
