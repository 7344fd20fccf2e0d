"""The runner: runs on old Pythons with nothing but numpy and a runtime."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeflow.deploy import board_runner

SOURCE = Path(board_runner.__file__).read_text()


def test_the_syntax_is_that_of_python_3_7() -> None:
    ast.parse(SOURCE, feature_version=(3, 7))


def test_it_imports_the_standard_library_and_numpy_alone() -> None:
    names = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names - set(sys.stdlib_module_names) == {"numpy"}


def test_comparison() -> None:
    y = np.array([[0.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert board_runner.compare(np, y, y) == {"equal": 1, "max_difference": 0, "agreement": 1}
    other = y.copy()
    other[0] = [0.0, 2.5, 2.0]
    found = board_runner.compare(np, other, y)
    assert found == {"equal": pytest.approx(5 / 6), "max_difference": 1.5, "agreement": 0.5}


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_an_output_that_is_not_finite_is_no_agreement(odd: float) -> None:
    y = np.ones((2, 3))
    other = y.copy()
    other[1, 1] = odd
    assert board_runner.compare(np, other, y)["max_difference"] is None


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(board_runner.Failure, match="expected outputs of shape"):
        board_runner.compare(np, np.zeros((2, 4)), np.zeros((2, 3)))


def test_summary() -> None:
    found = board_runner.summary(np, [float(value) for value in range(11)])
    assert found == {"median": 5, "p10": 1, "p90": 9, "min": 0, "mean": 5, "repetitions": 11}
