"""Int8 .tflite files: the graph's integers against tflite-runtime's reference kernels."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import edgeflow
from edgeflow import toolchains
from tests.backends.cortex_m.test_models import FILES, TINY

HERE = Path(__file__).parent
CORTEX_M = HERE.parent / "cortex_m"

EXACT = """conv_6x7x3x3x3x1x1_same conv_9x8x3x3x3x2x2_valid conv_12x1x5x4x1x2x1_same conv_relu conv_relu6
conv_relu_n1_to_1 conv_zeros_m128_127 conv_scale_left conv_scale_one conv_scale_tiny conv_scale_nothing
conv_one_scale depthwise_9x7x2x3x3x1x1x3_same depthwise_relu6 depthwise_zeros_127 depthwise_no_bias
dense_33_5 dense_relu dense_scale_left average_pool_3x2x1x2_same average_pool_3x3x2x2_same
average_pool_7x6x1x1_valid average_pool_relu max_pool_3x3x2x2_same add_two_0 add_two_1 add_two_2
add_itself_relu6 add_gate sub_two_1 sub_gate mul_two_0 mul_two_2 mul_gate requantize_0 requantize_1
requantize_2 requantize_3 pad_all concatenation_m1 reshape_dense""".split()
"""Operators whose numbers are those of the reference kernels."""
NEAR = """add_channels_0 mul_four_0 relu_0 relu6_0 relu_n1_to_1_3 leaky_relu_0 logistic_0 tanh_1
hard_swish_0 mean_7x7x2_0_2 softmax_10""".split()
"""Operators that are computed in float32 and rounded: one level off at most."""


def script(chain: str, path: Path, *arguments: Path | str) -> str:
    done = subprocess.run(
        [str(toolchains.ensure(toolchains.get(chain))), str(path), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
        env={
            **os.environ, "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": f"{Path(edgeflow.__file__).parents[1]}:{CORTEX_M}",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def compared(folder: Path, *cases: str) -> dict[str, tuple[float, float]]:
    """By case, the fraction of outputs that differ, and by how many levels at most."""
    script("keras", HERE / "read_cases.py", folder, *cases)
    script("tflite_runtime", CORTEX_M / "run_cases.py", folder)
    found = json.loads(script("tpu", HERE / "run_cases.py", folder).splitlines()[-1])
    return {name: (part, most) for name, (part, most) in found.items()}


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, float]]:
    return compared(tmp_path_factory.mktemp("cases"), *EXACT, *NEAR)


def test_operators_in_integers_are_the_reference_kernels(operators):
    assert {name: operators[name] for name in EXACT} == dict.fromkeys(EXACT, (0, 0))


def test_operators_in_floats_are_one_level_off_at_most(operators):
    assert max(operators[name] for name in NEAR)[1] <= 1


def test_mlperf_tinys_models_end_to_end(data_root, tmp_path):
    """All but the softmax at their ends to the bit; that is in float32, one level off at most."""
    files = [f"{name}={data_root / TINY / path}" for name, path in FILES.items()]
    found = compared(tmp_path, *files)
    assert set(found) == set(FILES)
    assert max(most for _, most in found.values()) <= 1
    assert sum(part == 0 for part, _ in found.values()) >= 4
