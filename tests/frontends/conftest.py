"""Small models made by each toolchain's own framework, once per test run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeflow import toolchains
from edgeflow.frontends.model import Model
from edgeflow.jobs import Job, Runner

SCRIPT = Path(__file__).with_name("make_models.py")


def _make(toolchain: str, what: str, folder: Path) -> Path:
    chain = toolchains.get(toolchain)
    python = toolchains.ensure(chain)
    done = subprocess.run(
        [str(python), str(SCRIPT), what, str(folder)],
        capture_output=True,
        text=True,
        check=False,
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


@pytest.fixture(scope="session")
def twin(runner: Runner) -> Callable[[Model, Path], Path]:
    """Golden folder of a model's Keras twin, built from its Network and weights alone."""

    def run(model: Model, x: Path) -> Path:
        job = Job(
            "edgeflow.frontends.keras_build_job:predict", "keras", "twin",
            {"model": model.path, "x": x}, {"trace": 8}, ("tensorflow", "keras"),
        )  # fmt: skip
        return runner.run(job).path

    return run
