"""ONNX operator by operator: the Network's Keras twin equals ONNX Runtime, or says what it lacks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import edgeflow
from edgeflow import toolchains

SCRIPT = Path(__file__).with_name("onnx_operators.py")
REFUSED = {
    "transposed dilated": "with dilation",
    "instance norm": "InstanceNormalization",
    "max pool dilated": "with dilation",
    "avg pool uneven": "not averaged",
    "avg pool ceil counted": "not averaged",
    "softmax rows": "along axis 2",
    "softmax line 12": "over several axes",
    "gelu erf": "Erf",
    "LSTM hard": "HardSigmoid",
    "sqrt": "Sqrt",
    "einsum": "Einsum",
}
"""What the Network has no kind for, and a word of what is said."""

KINDS = {
    "depthwise twice": "depthwise_conv2d",
    "transposed more": "conv2d_transpose",
    "max pool ceil": "max_pool2d",
    "LSTM last forward": "lstm",
    "LSTM two ways": "lstm",
    "GRU and its end": "gru",
    "RNN relu": "simple_rnn",
    "silu": "sigmoid",
    "layer norm image": "layer_norm",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script says of every case."""
    chain = toolchains.get("keras")
    done = subprocess.run(
        [str(toolchains.ensure(chain)), str(SCRIPT), str(tmp_path_factory.mktemp("onnx"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={
            **os.environ,
            **chain.environment,
            "PYTHONPATH": str(Path(edgeflow.__file__).parents[1]),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def test_operators_equal_onnx_runtime(found: dict[str, Any]) -> None:
    operators = found["operators"]
    assert len(operators) > 130
    wrong = {
        case: said
        for case, said in operators.items()
        if case not in REFUSED and not said.get("gap", 1) <= 5e-6 * max(1, said.get("spread", 0))
    }
    assert not wrong
    for case, kind in KINDS.items():
        assert kind in operators[case]["kinds"], case
    # transposes around images cancel where a chain of windows follows
    assert operators["concat pooled"]["kinds"].count("transpose") == 2


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_is_refused_is_named(found: dict[str, Any], case: str) -> None:
    assert REFUSED[case] in found["operators"][case]["refused"]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("dynamic", "no fixed shape: (1, 4, ?, 8)"),
        ("shapeless", "shape"),
        ("newer", "opset"),
        ("outside", "keeps weights in other files"),
        ("hidden", "keeps weights in other files"),
    ],
)
def test_bad_files(found: dict[str, Any], case: str, said: str) -> None:
    assert said in found["bad"][case]


def test_damaged_files_give_one_error(found: dict[str, Any]) -> None:
    outcomes = found["bad"]["damaged"]
    assert len(outcomes) == 80
    assert sum(outcome == "loaded" for outcome in outcomes) < 60
    assert all(outcome == "loaded" or "bad.onnx" in outcome for outcome in outcomes)
