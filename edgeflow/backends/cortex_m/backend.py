"""The cortex_m backend: int8 C for Arm Cortex-M, checked on this machine and in QEMU."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeflow.backends import roomier
from edgeflow.backends.base import (
    Limit,
    Problem,
    Request,
    Run,
    Simulation,
    Synthesis,
    Table,
    Tolerance,
)
from edgeflow.backends.cortex_m import costs, limits
from edgeflow.backends.cortex_m.options import Options
from edgeflow.backends.identifiers import c_identifier
from edgeflow.backends.tflite.backend import BACKEND as TFLITE
from edgeflow.backends.tflite.backend import REFERENCE
from edgeflow.backends.tflite.backend import run as run_file
from edgeflow.backends.tflite.onward import OnTFLite
from edgeflow.errors import JobError, ToolError, UnsupportedError
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target

CORES = (
    "cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """A QEMU machine: its name, system clock (MHz), memory for code and data (origin, bytes)."""

    name: str
    clock_mhz: float
    flash: tuple[int, int] = (0, 4 << 20)
    ram: tuple[int, int] = (0x2000_0000, 4 << 20)


_M3 = Machine("mps2-an385", 25)
MACHINES: Mapping[str, Machine] = {
    "cortex-m0": _M3,
    "cortex-m0plus": _M3,
    "cortex-m3": _M3,
    "cortex-m4": Machine("mps2-an386", 25),
    "cortex-m7": Machine("mps2-an500", 25),
    "cortex-m33": Machine("mps2-an505", 20, (0x1000_0000, 4 << 20), (0x3800_0000, 4 << 20)),
    "cortex-m55": Machine("mps3-an547", 32, (0x1000_0000, 512 << 10), (0x3000_0000, 512 << 10)),
}
"""By core, the machine that has it; for the M0, one that runs its instructions."""
EXACT = Tolerance(0.0, 1.0, "the kernels compute what TensorFlow Lite's reference kernels do")


class CortexM(OnTFLite):
    """See `edgeflow.backends.base.Backend`."""

    name = "cortex_m"
    description = "C libraries and firmware for Arm Cortex-M (int8), checked in QEMU"
    Options = Options

    def limits(self) -> list[Limit]:
        """What there are kernels for."""
        return limits.table()

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """What the .tflite file cannot hold, and what the target lacks."""
        found = [*TFLITE.check(network, target, options), *limits.problems(network)]
        if core(target, options) not in CORES:
            found.append(
                Problem(
                    None, f"the target '{target.name}' is no Cortex-M that there are kernels for",
                    f"choose a target with one of {', '.join(CORES)}, or give the option core",
                )
            )  # fmt: skip
        return found

    def base(self, request: Request) -> Job:
        """The job that makes the .tflite file; its dense layers have one scale each, as the kernels
        take them."""
        job = super().base(request)
        return replace(job, params={**job.params, "dense_scales": "one"})

    def compile(self, request: Request) -> Job:
        """The job that writes the C library."""
        assert request.base is not None
        return Job(
            entry="edgeflow.backends.cortex_m.job:compile",
            toolchain="keras",
            title="write C",
            inputs={"tflite": request.base},
            params={
                "name": request.options["library"] or c_identifier(request.name),
                "core": core(request.target, request.options),
            },
            imports=("ai_edge_litert.interpreter",),
            timeout=600,
            label=request.target.name,
        )

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """The .tflite file against the model, the C on this machine against the .tflite file."""
        assert request.golden is not None
        assert request.base is not None
        files = super().simulate(request, compiled)
        job = Job(
            entry="edgeflow.backends.cortex_m.job:host",
            toolchain="keras",
            title="run the C",
            inputs={"compiled": compiled, "golden": request.golden},
            params={"sanitize": False},
            imports=("numpy",),
            timeout=1800,
            label=request.target.name,
        )
        against = run_file(request, request.base, *REFERENCE)
        return [*files, Simulation("generated C", job, EXACT, against=against)]

    def synthesise(
        self, request: Request, compiled: Path, run: Run, asked: bool
    ) -> Synthesis | None:
        """Link the firmware and count its instructions in QEMU, where these tools are there."""
        del asked
        name = core(request.target, request.options)
        machine = MACHINES[name]
        own = memory(request.target) if name == request.target.architecture else None
        emulated = {"flash": machine.flash, "ram": machine.ram}
        try:
            image = run(_link(request, compiled, name, own or emulated))
            tested = image
            if own:
                tested = run(_link(request, compiled, name, emulated))
        except (ToolError, JobError) as error:
            return Synthesis({"reason": error.message}, notes=(f"no firmware: {error}",))
        except UnsupportedError as error:
            raise _too_large(error, request.target) from None
        result = {**image.result, "machine": machine.name}
        artifacts = {"firmware": image.path / "firmware.elf"}
        assert request.golden is not None
        assert request.base is not None
        seen_by = Job(
            entry="edgeflow.backends.cortex_m.job:emulate",
            toolchain="keras",
            title="run in QEMU",
            inputs={"compiled": compiled, "firmware": tested.path, "golden": request.golden},
            params={
                "machine": machine.name,
                "clock_mhz": machine.clock_mhz,
                "core": name,
                "inputs": request.options["emulated_inputs"],
                "timeout": 900,
            },
            imports=("numpy",),
            timeout=1000,
            label=request.target.name,
        )
        try:
            seen = run(seen_by)
        except (ToolError, JobError) as error:
            return Synthesis(
                result, artifacts, notes=(f"the firmware was not run: {error.message}",)
            )
        result |= {key: seen.result[key] for key in ("instructions", "by_operator", "stack")}
        against = run_file(request, request.base, *REFERENCE)
        simulation = Simulation(f"QEMU {machine.name}", seen_by, EXACT, against=against)
        profile = seen.path / "profile.json"
        artifacts["profile"] = profile
        return Synthesis(
            result, artifacts, (simulation,), (_said(json.loads(profile.read_text())),)
        )

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,  # noqa: ARG002 - of the contract
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs; memory from the linked image, instructions from QEMU where they are."""
        target = costs.with_own_runtime(target)
        found = TFLITE.estimate(network, target, options)
        return costs.estimate(found, network, target, core(target, options), result)

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The library's folder."""
        return {"library": compiled / "library"}

    def tables(self, compiled: Path, result: Mapping[str, Any]) -> list[Table]:  # noqa: ARG002
        """Each operator with its kernel, and its instructions where QEMU counted them."""
        operators = result["operators"]
        counts = (result.get("synthesis") or {}).get("by_operator") or [None] * len(operators)
        rows = tuple(
            (item["kind"], item["name"], item["kernel"] or "", item["macs"], count)
            for item, count in zip(operators, counts, strict=True)
        )
        columns = ("operator", "name", "kernel", "MACs", "instructions")
        return [Table("Operators of the library", columns, rows)]


def _too_large(error: UnsupportedError, target: Target) -> UnsupportedError:
    """The linker's figures, and the boards that would hold the firmware."""
    found = [re.match(r"(\w+): needs ([\d,]+)", line) for line in error.details]
    needs = {match[1]: float(match[2].replace(",", "")) for match in found if match}
    advice = roomier.remedy(target, needs, "choose a smaller model")
    said = f"{advice}: weights are in flash, activations in ram"
    return UnsupportedError(error.message, details=error.details, remedy=said)


def _said(profile: Sequence[Mapping[str, Any]]) -> str:
    """The instructions by kernel, in words."""
    kernels: dict[str, list[int]] = {}
    for operator in profile:
        if operator["kernel"]:
            entry = kernels.setdefault(operator["kernel"], [0, 0])
            entry[0] += operator["instructions"]
            entry[1] += operator["macs"]
    words = [
        f"{name} {count:,}" + (f" ({count / macs:.2f} per multiply-accumulate)" if macs else "")
        for name, (count, macs) in sorted(kernels.items(), key=lambda item: -item[1][0])
    ]
    return f"instructions of one inference by kernel: {', '.join(words)}"


def _link(request: Request, compiled: Path, name: str, where: Mapping[str, tuple[int, int]]) -> Job:
    """The job that links the library for a core and the memory of a board or machine."""
    return Job(
        entry="edgeflow.backends.cortex_m.job:firmware",
        toolchain="keras",
        title="link the firmware",
        inputs={"compiled": compiled},
        params={"core": name, "memory": where},
        imports=("numpy",),
        timeout=600,
        label=request.target.name,
    )


def memory(target: Target) -> dict[str, tuple[int, int]] | None:
    """A board's flash and RAM as (origin, bytes); None where its file gives no addresses.

    ``ram_length`` in the settings is the largest piece of RAM where the whole is not in one.
    """
    found = {}
    for word in ("flash", "ram"):
        origin, size = target.settings.get(f"{word}_origin"), target.figure("memory", word)
        if origin is None or size is None:
            return None
        found[word] = (int(origin), int(target.settings.get(f"{word}_length", size.value)))
    return found


def core(target: Target, options: Mapping[str, Any]) -> str:
    """The core to compile for."""
    return str(options.get("core") or target.architecture)


BACKEND = CortexM()
