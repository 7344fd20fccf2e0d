"""The options of the onnxruntime backend, as the recipe gives them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SAMPLES: Final = 200
OPSET: Final = 17
"""ONNX Runtime 1.12 and later (2022) run it; the first with LayerNormalization."""

Layout = Literal["channels_first", "channels_last"]


class Options(BaseModel):
    """Options of the backend."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    precision: Literal["float32", "int8"] | None = Field(
        None,
        description="default: int8 for models of 8 bits or fewer, else float32; int8 is static "
        "QDQ with per-channel weights",
    )
    opset: int | None = Field(
        None,
        ge=13,
        le=21,
        description="ONNX opset; default: 17, or that of a model that is ONNX already",
    )
    input_layout: Layout | None = Field(
        None, description="order of the input's axes; default: the model's own"
    )
    output_layout: Layout | None = Field(
        None, description="order of the output's axes; default: the model's own"
    )
    calibration_samples: int = Field(
        SAMPLES, ge=1, description="train inputs that ranges are measured on"
    )
