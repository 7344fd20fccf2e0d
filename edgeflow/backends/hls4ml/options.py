"""The options of the hls4ml backend, as the recipe gives them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from edgeflow.errors import RecipeError

TYPE_PATTERN = (
    r"^\s*(ap_)?u?(fixed\s*<\s*\d{1,3}\s*,\s*-?\d{1,3}"
    r"(\s*,\s*(AP_)?(RND|RND_ZERO|RND_MIN_INF|RND_INF|RND_CONV|TRN|TRN_ZERO)"
    r"(\s*,\s*(AP_)?(SAT|SAT_ZERO|SAT_SYM|WRAP|WRAP_SM))?)?|int\s*<\s*\d{1,3})\s*>\s*$"
)
HlsType = Annotated[str, StringConstraints(pattern=TYPE_PATTERN)]
"""A fixed-point type, such as ``ap_fixed<16,6>`` or ``ufixed<8,0,RND_CONV,SAT>``."""

Strategy = Literal["auto", "latency", "resource"]
Reuse = Annotated[int, Field(ge=1)] | Literal["auto"]


class LayerOptions(BaseModel):
    """Options of one layer, by the Network's name of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    precision: HlsType | None = Field(None, description="type of result, weight and bias")
    result: HlsType | None = Field(None, description="type of the output")
    weight: HlsType | None = Field(None, description="type of the kernel")
    bias: HlsType | None = Field(None, description="type of the bias")
    accum: HlsType | None = Field(None, description="type of sums")
    strategy: Strategy | None = Field(None, description="default: the model's")
    reuse_factor: Reuse | None = Field(None, description="default: the model's")


class Options(BaseModel):
    """Options of the backend."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    compiler: Literal["vitis", "vivado"] = Field("vitis", description="the vendor's HLS tool")
    io: Literal["auto", "parallel", "stream"] = Field(
        "auto", description="auto: stream for convolutions, else parallel"
    )
    strategy: Strategy = Field(
        "auto", description="auto: latency where a layer's multipliers can be unrolled"
    )
    reuse_factor: Reuse = Field(
        "auto", description="multiplications per multiplier; auto: the least that can be built"
    )
    precision: HlsType | Literal["auto"] = Field(
        "auto", description="type of what is not exact; auto: from the model's own values"
    )
    bits: int = Field(18, ge=4, le=64, description="width of a type that is not exact")
    table_size: Literal[256, 512, 1024, 2048, 4096, 8192] = Field(
        2048, description="entries of the tables of softmax, sigmoid, tanh"
    )
    layers: dict[str, LayerOptions] = Field(default_factory=dict, description="by layer name")
    clock_mhz: float | None = Field(None, gt=0, le=2000, description="default: the target's")
    part: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{4,40}$", description="default: the target's chip"
    )
    project: str | None = Field(
        None, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,40}$", description="name of the top function"
    )


def checked(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options with their defaults, as JSON.

    Raises:
        RecipeError: an unknown option (suggests the nearest) or a wrong value; all of them at once.
    """
    try:
        return Options.model_validate(dict(given)).model_dump(mode="json")
    except ValidationError as error:
        faults = [_fault(item) for item in error.errors(include_url=False)]
    faults = list(dict.fromkeys(faults))
    if len(faults) == 1:
        raise RecipeError(faults[0], where=where)
    raise RecipeError(f"{len(faults)} options are wrong", where=where, details=faults)


def _fault(item: Any) -> str:
    place = [str(part) for part in item["loc"]]
    in_layer = len(place) > 2 and place[0] == "layers"
    known = (LayerOptions if in_layer else Options).model_fields
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], known, 1, 0)
        return f"unknown option '{'.'.join(place)}'; did you mean '{near[0]}'?"
    key = place[2] if in_layer else place[0]
    name = ".".join(place[:3] if in_layer else place[:1])
    if item["type"] == "string_pattern_mismatch" and key not in ("part", "project"):
        expected = "a type such as ap_fixed<16,6>"
    else:
        expected = EXPECTED.get(key, item["msg"])
    return f"'{name}': expected {expected}, found {item['input']!r}"


EXPECTED = {
    "compiler": "vitis or vivado",
    "io": "auto, parallel or stream",
    "strategy": "auto, latency or resource",
    "reuse_factor": "auto or a whole number above 0",
    "precision": "auto or a type such as ap_fixed<16,6>",
    "bits": "a whole number from 4 to 64",
    "table_size": "256, 512, 1024, 2048, 4096 or 8192",
    "clock_mhz": "a number above 0, at most 2000",
    "part": "a part such as xc7z020clg400-1",
    "project": "a C identifier",
    "layers": "layers and their options",
}
