"""The C++ compiler of this machine, which simulations are built with."""

from __future__ import annotations

import os
import shutil

from edgeflow.errors import ToolError


def find_compiler(use: str = "the C simulation") -> str:
    """The C++ compiler: ``$CXX``, or ``g++`` on PATH. ``use``: what needs it, for the message.

    Raises:
        ToolError: there is none.
    """
    wanted = os.environ.get("CXX") or "g++"
    found = shutil.which(wanted)
    if found is None:
        raise ToolError(
            f"no C++ compiler: expected '{wanted}' on PATH ({use} needs it)",
            remedy="install it (Debian, Ubuntu: apt install g++), or set CXX",
        )
    return found
