"""The options of the cortex_m backend, as the recipe gives them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeflow.backends.tflite import options as tflite

Core = Literal[
    "cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"
]


class Options(tflite.Options):
    """Options of the backend: those of the .tflite file it starts from, and its own."""

    precision: Literal["int8"] = Field("int8", description="the kernels compute with integers")
    core: Core | None = Field(None, description="default: the target's")
    library: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,40}$",
        description="what the C functions' names begin with; default: the recipe's and target's",
    )
    emulated_inputs: int = Field(
        64, ge=1, le=100_000, description="golden inputs to run in QEMU, at most"
    )
