"""The HLS compilers that hls4ml 1.3.0 writes for: what each takes, and how far it was tried here.

Read from hls4ml's sources and tried with its C simulation (g++ and the headers in the project).
Standard library alone: jobs import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LATENCY, RESOURCE = "latency", "resource"
UNROLLED, DISTRIBUTED = "resource_unrolled", "distributed_arithmetic"
XILINX = (LATENCY, RESOURCE, UNROLLED, DISTRIBUTED)
AMD = r"(?i)xc"
INTEL = r"(?i)(10[acm]|1s|5[acs]|ag|ep|arria|stratix|cyclone|agilex|max)"
MICROCHIP = r"(?i)(mpf|m2|rt|pa5m)"
AC_TYPES = ("quartus", "oneapi", "catapult")
"""Compilers whose numbers are Siemens' ``ac_fixed``, and whose layers hls4ml wrote apart."""
INTELS = ("quartus", "oneapi")


@dataclass(frozen=True)
class Compiler:
    """One of hls4ml's backends.

    ``name`` is the option's value, ``backend`` hls4ml's own name of it, ``tool`` the vendor's.
    ``strategies`` it builds, the first where it has no choice; ``parts`` is a pattern of the
    devices it knows; ``include`` the headers' folders in the project. ``refuses`` are kinds of
    layers that it lacks beside those that every one lacks. ``unsimulated`` says why its C++
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
    unsimulated: str | None = None

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
            ("firmware/ac_types", "firmware/ap_types"),
        ),
        Compiler(
            "catapult", "Catapult", "Catapult HLS", (LATENCY, RESOURCE), AMD,
            (
                "firmware",
                "firmware/ac_types/include", "firmware/ac_math/include",
                "firmware/ac_simutils/include", "firmware/nnet_utils",
            ),
        ),
        Compiler(
            "oneapi", "oneAPI", "oneAPI DPC++ compiler", (RESOURCE,), INTEL, (),
            unsimulated="its C++ is SYCL, which only Intel's icpx compiles",
        ),
        Compiler(
            "libero", "Libero", "SmartHLS", (LATENCY, RESOURCE), MICROCHIP, (),
            unsimulated="its C++ needs the headers of Microchip's SmartHLS, which are not free",
        ),
    )
}  # fmt: skip
"""By name; the first is the default."""
