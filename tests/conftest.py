"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeflow.jobs import Runner
from edgeflow.store import Store


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A runner with a store of its own; toolchains come from the user's cache."""
    with Runner(Store(tmp_path_factory.mktemp("store"))) as made:
        yield made


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real models and datasets; without it the test skips, in CI it fails."""
    root = os.environ.get("EDGEFLOW_DATA")
    if root and Path(root).is_dir():
        return Path(root).resolve()
    message = f"EDGEFLOW_DATA names no folder ({root!r}): real models and datasets are not here"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
