"""edgeflow: from a trained neural network to FPGAs, edge devices and TPUs, verified.

The functions `run`, `inspect`, `check`, `compile`, `estimate` and `deploy` are the commands of the
same names, `read_synthesis` is ``report --from-synthesis``; they are loaded when first used. What
they raise is an `EdgeflowError`.
"""

from __future__ import annotations

import sys
from types import ModuleType

__version__ = "0.1.0"
__all__ = [
    "EdgeflowError", "check", "compile", "deploy", "estimate", "inspect", "read_synthesis", "run",
]  # fmt: skip


class _Library(ModuleType):
    """This package, whose functions win over its sub-packages of the same names.

    Importing ``edgeflow.estimate.energy`` sets the attribute ``estimate`` to the sub-package,
    which would hide the function.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Library


def __getattr__(name: str) -> object:
    if name in __all__:
        from edgeflow import api

        return getattr(api, name)
    raise AttributeError(f"module 'edgeflow' has no attribute '{name}'")
