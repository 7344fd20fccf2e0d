"""The schema of a target file (pydantic). Import it only to check one: pydantic takes its time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FigureFile(_Strict):
    """A number with its source; ``low`` and ``high`` where a band is published or honest."""

    value: NotNegative
    source: Words = Field(description="a key of the file's 'sources'")
    low: NotNegative | None = None
    high: NotNegative | None = None
    note: Words | None = Field(default=None, description="how the number follows from the source")

    @model_validator(mode="after")
    def _band_holds_value(self) -> FigureFile:
        if (self.low is None) != (self.high is None):
            raise ValueError("a band needs both low and high")
        low, high = self.low, self.high
        if low is not None and high is not None and not low <= self.value <= high:
            raise ValueError(
                f"expected low <= value <= high, found {low:g}, {self.value:g}, {high:g}"
            )
        return self


Given = FigureFile | None


class PointFile(_Strict):
    """A voltage and frequency at which the chip can run."""

    frequency_mhz: Positive
    source: Words
    voltage_v: Positive | None = Field(
        default=None, description="V, of the core, behind the chip's own regulator if it has one"
    )
    power_w: NotNegative | None = Field(default=None, description="W, measured in inference")
    name: Words | None = None
    supply_v: Positive | None = Field(default=None, description="V, of the chip's supply rail")
    current_ma: Positive | None = Field(
        default=None, description="mA at supply_v, the data sheet's for ordinary code"
    )
    runtime: Words | None = Field(default=None, description="what ran where power_w was measured")

    @model_validator(mode="after")
    def _current_has_its_supply(self) -> PointFile:
        if self.current_ma is not None and self.supply_v is None:
            raise ValueError("current_ma needs supply_v: a current alone is no power")
        return self


class Resources(_Strict):
    """Counts that a design may use."""

    lut: Given = Field(default=None, description="look-up tables, of the family's own size")
    ff: Given = Field(default=None, description="flip-flops")
    dsp: Given = Field(default=None, description="multiplier blocks")
    bram_18k: Given = Field(
        default=None, description="block RAMs of 18 Kbit (a 36 Kbit block is two)"
    )
    uram: Given = Field(default=None, description="UltraRAMs of 288 Kbit")
    bram_4k: Given = Field(default=None, description="block RAMs of 4 Kbit (iCE40)")
    spram: Given = Field(default=None, description="single-port RAMs of 256 Kbit (iCE40 UP)")


class Memory(_Strict):
    """Bytes, and bytes per second."""

    ram: Given = Field(default=None, description="B, main memory (an MCU's whole SRAM)")
    flash: Given = Field(default=None, description="B, non-volatile memory for program and weights")
    on_chip: Given = Field(default=None, description="B, memory beside the compute units")
    hbm: Given = Field(default=None, description="B, stacked memory of a chip")
    bandwidth: Given = Field(default=None, description="B/s, of main memory or HBM")


class Compute(_Strict):
    """Peak operations per second at the default clock, or per cycle; a MAC is two operations."""

    int8_ops: Given = None
    bfloat16_flops: Given = None
    float32_flops: Given = None
    int8_macs_per_cycle: Given = None
    int8_mac_energy: Given = Field(
        default=None, description="J per MAC, on top of the power that an accelerator draws anyway"
    )


class Power(_Strict):
    """Watts."""

    board_idle: Given = Field(default=None, description="whole board, powered, not inferring")
    board_active: Given = Field(default=None, description="whole board while inferring")
    board_max: Given = Field(default=None, description="the board's limit")
    chip_static: Given = Field(default=None, description="chip, leakage alone")
    chip_processor: Given = Field(
        default=None, description="the processor beside an FPGA's fabric, running"
    )
    chip_idle: Given = Field(default=None, description="chip, powered, not inferring")
    chip_active: Given = Field(
        default=None, description="chip (or its supply rail) while inferring"
    )
    chip_sleep: Given = Field(
        default=None, description="chip, asleep with its RAM kept, between two inferences"
    )
    board_sleep: Given = Field(
        default=None, description="whole board, asleep between two inferences"
    )
    chip_tdp: Given = Field(default=None, description="chip, thermal design power")


class PinFile(_Strict):
    """A pin of an FPGA board: what `edgeflow` may connect to it goes by the signal's name."""

    pin: Words = Field(description="the package's own name of it")
    source: Words = Field(description="a key of the file's 'sources'")
    mhz: Positive | None = Field(default=None, description="of a clock: what the board feeds it")
    active_low: bool = Field(default=False, description="pressed or lit at 0")
    pull: Literal["up", "down", "none"] | None = Field(default=None, description="its resistor")
    io: Words | None = Field(default=None, description="IO standard, such as LVCMOS33")


SignalName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class TargetFile(_Strict):
    """A board or chip that a model is compiled for."""

    format: Literal["edgeflow.target/1"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: Words
    kind: Literal["fpga", "linux_board", "mcu", "npu", "tpu"]
    vendor: Words
    backends: list[Words] = Field(min_length=1, description="the default one first")
    chip: Words = Field(description="the device's order code or part")
    description: str = ""
    architecture: str = Field(
        default="", description="what computes; selects the estimates' coefficients"
    )
    clock_mhz: Positive | None = Field(
        default=None, description="the clock to design for by default"
    )
    resources: Resources = Resources()
    memory: Memory = Memory()
    compute: Compute = Compute()
    power: Power = Power()
    operating_points: list[PointFile] = []
    settings: dict[str, str | int | float] = {}
    pins: dict[SignalName, PinFile] = Field(
        default={}, description="clk, reset, uart_rx, uart_tx, spi_sck, led_0 …"
    )
    sources: dict[str, Words] = {}
    unknown: dict[str, Words] = Field(default={}, description="why a figure is null, by its name")
