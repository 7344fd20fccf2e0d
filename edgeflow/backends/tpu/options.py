"""The options of the tpu backend, as the recipe gives them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LARGEST_BATCH = 65_536


class Options(BaseModel):
    """Options of the backend."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    precision: Literal["float32", "bfloat16", "int8"] = Field(
        "float32",
        description="of the products' operands; int8: integers with 32-bit sums, for models "
        "of 8 bits or fewer",
    )
    rescaling: Literal["fixed_point", "float32"] = Field(
        "fixed_point",
        description="of an int8 .tflite file's sums at precision int8: as TFLite's reference "
        "kernels do, to the bit, or in float32, which takes fewer cycles",
    )
    batch: int = Field(1, ge=1, le=LARGEST_BATCH, description="inputs per call, fixed")
