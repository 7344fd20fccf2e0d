"""The options of the edge_tpu backend, as the recipe gives them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeflow.backends.tflite import options as tflite


class Options(tflite.Options):
    """Options of the backend: those of the .tflite file it starts from, and the compiler's."""

    precision: Literal["int8"] = Field("int8", description="the Edge TPU computes with 8 bits")
    input_type: tflite.Port | None = Field(
        None, description="default: int8; with float32 the first operator runs on the processor"
    )
    compiler_timeout: int = Field(
        600, ge=1, le=36_000, description="seconds that edgetpu_compiler may take, where it is"
    )
