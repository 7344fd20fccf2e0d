"""Running a compiled project: its inputs are shared out to processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.hls4ml import csim_job
from edgeflow.errors import ToolError

PROGRAM = """#!/usr/bin/env python3
import array, sys
n_in, n_out, source, result, step = sys.argv[1:6]
x = array.array("f")
x.frombytes(open(source, "rb").read())
rows = [x[i : i + int(n_in)] for i in range(0, len(x), int(n_in))]
if any(row[0] == -1 for row in rows):
    print("a row that cannot be")
    sys.exit(3)
open(result, "wb").write(array.array("f", (sum(row) for row in rows)).tobytes())
open(sys.argv[8], "wb").write(array.array("f", (row[0] for row in rows)).tobytes())
for row in range(int(step), len(rows) + 1, int(step)):
    print(row)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "project" / csim_job.PROGRAM
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return program.parent


@pytest.mark.parametrize("inputs", [1, 999, 2 * csim_job.PART + 1])
def test_rows_come_back_in_their_order(
    project: Path, inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csim_job.os, "cpu_count", lambda: 2)
    x = np.arange(3 * inputs, dtype=np.float32).reshape(inputs, 3)
    told: list[tuple[int, int]] = []
    y, layers = csim_job.run(
        project, x, 1, {"fc": 1}, lambda done, total, _: told.append((done, total))
    )
    assert np.array_equal(y[:, 0], x.sum(axis=1))
    assert np.array_equal(layers["fc"], x[:, :1])
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][1] == inputs


def test_a_crash_in_one_of_them_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csim_job.os, "cpu_count", lambda: 2)
    x = np.zeros((3 * csim_job.PART, 2), np.float32)
    x[-1, 0] = -1
    with pytest.raises(ToolError, match="ended with code 3") as caught:
        csim_job.run(project, x, 1, {"fc": 1})
    assert "a row that cannot be" in str(caught.value)
