"""The options of the hls4ml backend, as the recipe gives them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

TYPE_PATTERN = (
    r"^\s*(ap_)?u?(fixed\s*<\s*\d{1,3}\s*,\s*-?\d{1,3}"
    r"(\s*,\s*(AP_)?(RND|RND_ZERO|RND_MIN_INF|RND_INF|RND_CONV|TRN|TRN_ZERO)"
    r"(\s*,\s*(AP_)?(SAT|SAT_ZERO|SAT_SYM|WRAP|WRAP_SM))?)?|int\s*<\s*\d{1,3})\s*>\s*$"
)

WIDEST = 64
"""Bits of a type: float64, in which the model is computed, tells no more apart."""


def _hls_type(text: str) -> str:
    if not re.match(TYPE_PATTERN, text):
        raise ValueError("expected a type such as ap_fixed<16,6>")
    width = int(re.findall(r"\d+", text)[0])
    if not 1 <= width <= WIDEST:
        raise ValueError(f"expected 1 to {WIDEST} bits, found {width} in '{text}'")
    return text


HlsType = Annotated[str, AfterValidator(_hls_type)]
"""A fixed-point type, such as ``ap_fixed<16,6>`` or ``ufixed<8,0,RND_CONV,SAT>``."""


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", text):
        raise ValueError("expected a C identifier")
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]

Board = Literal["pynq-z2", "zcu102", "alveo-u50", "alveo-u200", "alveo-u250", "alveo-u280"]
"""Boards that hls4ml's VivadoAccelerator has a block design for."""
BOARDS: tuple[str, ...] = get_args(Board)

Strategy = Literal["auto", "latency", "resource", "resource_unrolled", "distributed_arithmetic"]
Reuse = Annotated[int, Field(ge=1)] | Literal["auto"]


ROLES = ("precision", "result", "weight", "bias", "accum", "table", "exp_table", "inv_table")
"""The types of a layer that a user may give."""

Depth = Annotated[int, Field(ge=1, le=1_000_000)]


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
    fifo_depth: Depth | None = Field(None, description="words in the FIFO behind it (io: stream)")
    exp_table: HlsType | None = Field(None, description="softmax: type of exp's table")
    inv_table: HlsType | None = Field(None, description="softmax: type of 1/x's table")
    table: HlsType | None = Field(None, description="type of a function's table")


class AxiOptions(BaseModel):
    """The AXI wrapper of ``compiler: vivado_accelerator``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    board: Board | None = Field(None, description="default: the target's board")
    interface: Literal["axi_stream", "axi_lite"] = Field(
        "axi_stream", description="axi_lite: pynq-z2 alone, and without a driver"
    )
    input_type: Literal["float"] | HlsType = Field("float", description="type on the bus")
    output_type: Literal["float"] | HlsType = Field("float", description="type on the bus")
    platform: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{4,60}$", description="Alveo: its development platform"
    )


class Options(BaseModel):
    """Options of the backend."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    compiler: Literal[
        "auto", "vitis", "vivado", "vivado_accelerator", "quartus", "catapult", "oneapi", "libero"
    ] = Field(
        "auto",
        description="the vendor's HLS tool; auto: vitis for AMD's devices, quartus for Intel's, "
        "libero for Microchip's",
    )
    io: Literal["auto", "parallel", "stream"] = Field(
        "auto", description="auto: stream for convolutions, else parallel"
    )
    strategy: Strategy = Field(
        "auto", description="auto: latency where a layer's multipliers can be unrolled"
    )
    reuse_factor: Reuse = Field(
        "auto", description="multiplications per multiplier; auto: the least that can be built"
    )
    precision: HlsType | Literal["auto", "tuned"] = Field(
        "auto",
        description="type of what is not exact; auto: from the model's own values; tuned: the "
        "narrowest that keep the accuracy",
    )
    max_loss: float | None = Field(
        None, ge=0, le=1, description="of accuracy or R² with tuned types; default: 0.005"
    )
    min_agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        description="of the class with the model's, with tuned types, where there are no labels; "
        "default: 0.99",
    )
    bits: int = Field(18, ge=4, le=64, description="width of a type that is not exact")
    table_size: Literal[256, 512, 1024, 2048, 4096, 8192] = Field(
        2048, description="entries of the tables of softmax, sigmoid, tanh"
    )
    softmax: Literal["stable", "latency", "argmax", "legacy"] = Field(
        "stable",
        description="argmax: 1 for the largest, 0 for the others; latency, legacy: no maximum is "
        "taken off first, which is right for small logits alone",
    )
    fifo_depth: Depth | Literal["optimize"] | None = Field(
        None,
        description="words in each FIFO (io: stream); default: a whole tensor; optimize: as many "
        "as a schedule of the project's own C++ fills",
    )
    axi: AxiOptions = Field(default_factory=AxiOptions, description="of vivado_accelerator")
    layers: dict[str, LayerOptions] = Field(default_factory=dict, description="by layer name")
    clock_mhz: float | None = Field(None, gt=0, le=2000, description="default: the target's")
    part: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{4,40}$", description="default: the target's chip"
    )
    project: Identifier | None = Field(None, description="name of the top function")
    synthesis_steps: (
        Annotated[
            list[Literal["csim", "csynth", "cosim", "vsynth", "export", "bitstream"]],
            Field(min_length=1),
        ]
        | None
    ) = Field(
        None,
        description="what --synthesise runs; default: csynth, and vsynth where Vivado is there",
    )
    synthesis_timeout: float = Field(
        8, gt=0, le=240, description="hours, of all the steps of --synthesise together"
    )
    synthesis_memory_gb: float = Field(
        64, gt=0, le=2048, description="GiB, of the vendor's tool and all that it starts"
    )
