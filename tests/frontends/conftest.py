"""Small models made by each toolchain's own framework, once per test run."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeflow import toolchains

SCRIPT = Path(__file__).with_name("make_models.py")


def _make(toolchain: str, what: str, folder: Path) -> Path:
    chain = toolchains.get(toolchain)
    python = toolchains.ensure(chain)
    done = subprocess.run(
        [str(python), str(SCRIPT), what, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **chain.environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders ``keras2`` (with QKeras) and ``keras3`` (with HGQ2, ONNX and TFLite)."""
    with ThreadPoolExecutor(2) as pool:
        two = pool.submit(_make, "qkeras", "keras2", tmp_path_factory.mktemp("keras2"))
        three = pool.submit(_make, "keras", "keras3", tmp_path_factory.mktemp("keras3"))
        return {"keras2": two.result(), "keras3": three.result()}
