"""What the ahead-of-time compiler must be told for each TPU generation, and its clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Generation:
    """A TPU generation: the smallest topology that libtpu compiles for, and its clock.

    ``options`` go to the topology (v4's two cores as one, for the whole chip's figures).
    ``clock_mhz`` turns the compiler's cycles into seconds; ``clock_source`` says where it is from.
    """

    topology: str
    clock_mhz: float
    clock_source: str
    options: Mapping[str, str] = field(default_factory=dict)


_PUBLISHED = "clock published in Jouppi et al., ISCA 2021 and 2023"
_DERIVED = (
    "clock derived: published bfloat16 peak over operations per cycle, the power of two that the "
    "compiler's cycles of large matrix products approach (the same gives v2 to v4 within 0.3 %)"
)
# Peak 197, 459 and 918 TFLOP/s over 2**17, 2**18 and 2**19 operations per cycle. For a product of
# 24,576 x 24,576 matrices libtpu 0.0.42.1 estimates 123,544, 249,609 and 428,349 per cycle.
# A TPU7x chip is two devices, and a graph runs on one: half of the chip's 2307 TFLOP/s over 2**19,
# 447,801 per cycle (int8 414,490, so integers gain nothing there; 8-bit floats 648,282).

GENERATIONS: Mapping[str, Generation] = {
    "v2": Generation("v2:2x2", 700, _PUBLISHED),
    "v3": Generation("v3:2x2", 940, _PUBLISHED),
    "v4": Generation("v4:2x2x1", 1050, _PUBLISHED, {"chip_config_name": "megacore"}),
    "v5e": Generation("v5e:2x2", 1503, _DERIVED),
    "v5p": Generation("v5p:2x2x1", 1751, _DERIVED),
    "v6e": Generation("v6e:2x2", 1751, _DERIVED),
    "7x": Generation("tpu7x:2x2x1", 2200, _DERIVED),
}
