"""What a Cortex-M library costs: bytes of the linked image, instructions that QEMU counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeflow.estimate import energy, mcu
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network
from edgeflow.targets import Target

NO_IMAGE = "needs the cross compiler (arm-none-eabi-gcc) to link an image"
NO_RUN = "needs QEMU (qemu-system-arm) to count them"


def with_own_runtime(target: Target) -> Target:
    """The target as this backend uses it: edgeflow's kernels run there, whatever else could."""
    return replace(target, settings={**target.settings, "runtime": "edgeflow"})


def estimate(
    found: dict[str, Estimate],
    network: Network,
    target: Target,
    core: str,
    result: Mapping[str, Any] | None,
) -> dict[str, Estimate]:
    """The .tflite file's figures with memory and instructions of the firmware's own.

    ``ram`` is the arena, other variables and the stack used; ``flash`` code, weights and constants
    of the library with the compiler's own functions, without the test firmware's main. Before
    the library is linked, these are `edgeflow.estimate.mcu_memory`'s. QEMU counts instructions,
    not cycles; the latency follows from them with the core's usual cycles per instruction.
    """
    built = (result or {}).get("synthesis") or {}
    arena = (result or {}).get("arena")
    if arena is not None:
        source = "planned by edgeflow: tensors share memory where they never live at once"
        found["activation_memory"] = Estimate.exact(arena, "B", "model", source)
    if "library" in built:
        library = built["library"]
        source = f"linked by {built['compiler']} for {core}"
        flash = library["code"] + library["constants"] + library["data"]
        found["flash"] = Estimate.exact(flash, "B", "synthesised", source)
        stack = built.get("stack")
        used = library["data"] + library["bss"] + (stack or 0)
        said = f"{source}; stack measured in QEMU" if stack else f"{source}; without the stack"
        found["ram"] = Estimate.exact(used, "B", "synthesised", said)
    elif result is not None:
        reason = built.get("reason", NO_IMAGE)
        for name in ("flash", "ram"):
            found.setdefault(name, unknown("B", reason))
    if "instructions" in built:
        source = f"QEMU {built['machine']}, one inference, counted in steps of 40"
        found["instructions"] = Estimate.exact(
            built["instructions"], "instructions", "simulated", source
        )
        found |= mcu.latency_from_instructions(
            built["instructions"], replace(target, architecture=core)
        )
        found |= energy.board_energy(target, found["latency"], network)
    else:
        found["instructions"] = unknown("instructions", built.get("reason", NO_RUN))
    return found
