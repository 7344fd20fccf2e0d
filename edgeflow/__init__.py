"""edgeflow: from a trained neural network to FPGAs, edge devices and TPUs, verified.

The functions `run`, `inspect`, `check`, `compile`, `estimate` and `deploy` are the commands of the
same names; they are loaded when first used.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["check", "compile", "deploy", "estimate", "inspect", "run"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from edgeflow import api

        return getattr(api, name)
    raise AttributeError(f"module 'edgeflow' has no attribute '{name}'")
