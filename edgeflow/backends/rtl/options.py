"""The options of the rtl backend, as the recipe gives them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edgeflow.backends.hls4ml.options import HlsType


def _identifier(text: str) -> str:
    from edgeflow.backends.rtl.names import legal

    if legal(text) != text:
        raise ValueError(
            "expected a name that is legal in Verilog and VHDL (letters, digits, single '_', "
            f"no keyword), such as '{legal(text)}'"
        )
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]


class LayerOptions(BaseModel):
    """Options of one layer, by the Network's name of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    reuse_factor: Annotated[int, Field(ge=1)] = Field(
        description="stream: multiplications per multiplier"
    )


class Options(BaseModel):
    """Options of the backend."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    style: Literal["auto", "combinational", "pipelined", "stream"] = Field(
        "auto", description="auto: pipelined where it can be unrolled, else stream"
    )
    latency_cycles: int | None = Field(
        None, ge=0, le=1000,
        description="registers from input to output; default: from the clock; 0: combinational",
    )  # fmt: skip
    clock_mhz: float | None = Field(
        None, gt=0, le=2000, description="clock to pipeline for; default: the target's"
    )
    reuse_factor: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="stream: multiplications per multiplier; auto: what fits the target"
    )
    layers: dict[str, LayerOptions] = Field(default_factory=dict, description="by layer name")
    multiplier: Literal["auto", "dsp", "lut"] = Field("auto", description="stream: what multiplies")
    input_bits: int | None = Field(
        None, ge=1, le=24, description="bits of an input that the model does not round (12)"
    )
    input_type: HlsType | None = Field(None, description="its type, such as fixed<12,4>")
    table_bits: int = Field(
        12, ge=2, le=20, description="bits after the point of functions that nothing rounds"
    )
    build: Literal["auto", "rtl", "area", "bitstream"] = Field(
        "auto",
        description="how far: sources, synthesis, or place and route; auto: the furthest there is",
    )
    wrapper: Literal["auto", "none", "valid_ready", "axi_stream", "uart", "spi"] = Field(
        "auto", description="what stands around the core; auto: uart in a bitstream, else none"
    )
    baud: int = Field(115200, ge=300, le=12_000_000, description="of the wrapper uart, bits/s")
    seed: int = Field(1, ge=0, description="of place and route")
    synthesis_timeout: float = Field(
        1800, gt=0, le=86400, description="s that one program of open synthesis may take"
    )
    synthesis_memory: float = Field(
        4096, gt=0, description="MiB that one may hold (built for WebAssembly: 4096 at most)"
    )
    top: Identifier | None = Field(None, description="name of the top module")
