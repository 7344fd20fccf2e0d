"""The options of the tflite backend, as the recipe gives them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SAMPLES: Final = 200

Port = Literal["float32", "int8", "uint8", "int16"]


class Options(BaseModel):
    """Options of the backend."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    precision: Literal["float32", "float16", "dynamic", "int8", "16x8"] | None = Field(
        None,
        description="default: int8 for microcontrollers, NPUs and models of 8 bits or fewer, "
        "else float32",
    )
    input_type: Port | None = Field(
        None, description="default: float32; integers for microcontrollers and NPUs"
    )
    output_type: Port | None = Field(None, description="default: as input_type")
    calibration_samples: int = Field(
        SAMPLES, ge=1, description="train inputs that ranges are measured on"
    )
    labels: list[str] | None = Field(
        None,
        description="class names in their order, for labels.txt and the file's metadata; default: "
        "the dataset's, where it has them",
    )
    metadata: bool | None = Field(
        None,
        description="write the signature and edgeflow's metadata; default: into every file but a "
        ".tflite that is taken over as it is",
    )
