"""The HLS compilers that hls4ml 1.3.0 writes for: what each takes, and how far it was tried here.

Read from hls4ml's sources and tried with its C simulation (g++ and the headers in the project).
Standard library alone: jobs import it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LATENCY, RESOURCE = "latency", "resource"
UNROLLED, DISTRIBUTED = "resource_unrolled", "distributed_arithmetic"
RECURRENT = ("lstm", "gru")
XILINX = (LATENCY, RESOURCE, UNROLLED, DISTRIBUTED)
AMD = r"(?i)xc"
INTEL = r"(?i)(10[acm]|1s|5[acs]|ag|ep|arria|stratix|cyclone|agilex|max)"
MICROCHIP = r"(?i)(mpf|m2|rt|pa5m)"
CURVES = ("gelu", "silu", "hard_silu")
"""Kinds that are made of a relu and a table, where AMD's tools synthesise."""
INTEL_LACKS = frozenset({"elu", "tanh", "crop", *RECURRENT, *CURVES})
"""Of hls4ml's layers for Intel's tools: elu ignores most of its inputs, tanh reads past its table,
cropping is not there; a recurrent layer's gates need that tanh."""
LIBERO_TAKES = frozenset(
    "input dense batch_norm scale relu sigmoid tanh softplus softsign selu identity quantize "
    "dequantize flatten reshape".split()
)
AC_TYPES = ("quartus", "oneapi", "catapult")
"""Compilers whose numbers are Siemens' ``ac_fixed``, and whose layers hls4ml wrote apart."""
INTELS = ("quartus", "oneapi")


@dataclass(frozen=True)
class Compiler:
    """One of hls4ml's backends.

    ``name`` is the option's value, ``backend`` hls4ml's own name of it, ``tool`` the vendor's.
    ``strategies`` it builds, the first where it has no choice; ``parts`` is a pattern of the
    devices it knows; ``include`` the headers' folders in the project. ``refuses`` are kinds of
    layers that it lacks beside those that every one lacks; ``takes`` are all that it has, where
    they are few. ``unsimulated`` says why its C++
    cannot be compiled with g++, None where it can.
    """

    name: str
    backend: str
    tool: str
    strategies: tuple[str, ...]
    parts: str
    include: tuple[str, ...]
    interfaces: tuple[str, ...] = ("parallel", "stream")
    refuses: frozenset[str] = frozenset()
    takes: frozenset[str] | None = None
    unsimulated: str | None = None

    def lacks(self, kind: str) -> bool:
        """Whether hls4ml has this kind of layer for others, and not for this one."""
        return kind in self.refuses or (self.takes is not None and kind not in self.takes)

    @property
    def sources(self) -> str:
        """Where the C++ lies in a project."""
        return "src/firmware" if self.name == "oneapi" else "firmware"


COMPILERS: Mapping[str, Compiler] = {
    item.name: item
    for item in (
        Compiler(
            "vitis", "Vitis", "Vitis HLS", XILINX, AMD, ("firmware/ap_types",),
        ),
        Compiler(
            "vivado", "Vivado", "Vivado HLS", XILINX, AMD, ("firmware/ap_types",),
        ),
        Compiler(
            "vivado_accelerator", "VivadoAccelerator", "Vivado HLS and Vivado", XILINX[:-1], AMD,
            ("firmware/ap_types",),
        ),
        Compiler(
            "quartus", "Quartus", "Intel HLS compiler", (RESOURCE,), INTEL,
            ("firmware/ac_types", "firmware/ap_types"), refuses=INTEL_LACKS,
        ),
        Compiler(
            "catapult", "Catapult", "Catapult HLS", (LATENCY, RESOURCE), AMD,
            (
                "firmware",
                "firmware/ac_types/include", "firmware/ac_math/include",
                "firmware/ac_simutils/include", "firmware/nnet_utils",
            ),
            refuses=frozenset({"crop", "hard_tanh", *RECURRENT, *CURVES}),
        ),
        Compiler(
            "oneapi", "oneAPI", "oneAPI DPC++ compiler", (RESOURCE,), INTEL, (),
            refuses=INTEL_LACKS,
            unsimulated="its C++ is SYCL, which only Intel's icpx compiles",
        ),
        Compiler(
            "libero", "Libero", "SmartHLS", (LATENCY, RESOURCE), MICROCHIP, (),
            takes=LIBERO_TAKES,
            unsimulated="its C++ needs the headers of Microchip's SmartHLS, which are not free",
        ),
    )
}  # fmt: skip
"""By name, in the order in which ``compiler: auto`` tries them."""


def for_device(part: str) -> str:
    """The compiler for a device: the first whose tool knows it; Vitis where none does."""
    knows = (item.name for item in COMPILERS.values() if re.match(item.parts, part))
    return next(knows, "vitis")
