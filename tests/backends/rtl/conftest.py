"""What the tests of the rtl backend share."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def icarus() -> str:
    """A simulator that no design was made with."""
    found = shutil.which("iverilog")
    if found is None and os.environ.get("CI"):
        pytest.fail("no iverilog on PATH (Debian: apt install iverilog)")
    if found is None:
        pytest.skip("no iverilog on PATH (Debian: apt install iverilog)")
    return found
