"""The options of the ethos_u backend, as the recipe gives them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeflow.backends.tflite import options as tflite

Accelerator = Literal[
    "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256",
    "ethos-u65-512", "ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024",
    "ethos-u85-2048",
]  # fmt: skip
NAME = r"^[A-Za-z0-9_]{1,60}$"


class Options(tflite.Options):
    """Options of the backend: those of the .tflite file it starts from, and Vela's."""

    precision: Literal["int8", "16x8"] = Field("int8", description="the NPU computes with integers")
    accelerator: Accelerator | None = Field(None, description="default: the target's")
    system_config: str | None = Field(
        None, pattern=NAME, description="of Vela's Arm/vela.ini; default: the target's"
    )
    memory_mode: str | None = Field(
        None, pattern=NAME, description="of Vela's Arm/vela.ini; default: the target's"
    )
    optimise: Literal["Performance", "Size"] = Field("Performance", description="cycles, or memory")
    arena_cache_size: int | None = Field(
        None, ge=1024, description="bytes of the arena cache; default: the memory mode's"
    )
