"""The hls4ml backend: C++ projects for the vendors' HLS tools, checked by C simulation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgeflow.artifacts import PROJECT
from edgeflow.backends.base import Configured, Limit, Problem, Request, Run, Simulation, Synthesis
from edgeflow.backends.hls4ml import (
    costs,
    fifos,
    fitting,
    reuse,
    room,
    rules,
    synthesis,
    tolerances,
)
from edgeflow.backends.hls4ml import options as recipe_options
from edgeflow.backends.hls4ml.compilers import COMPILERS, for_device
from edgeflow.backends.identifiers import c_identifier
from edgeflow.errors import TargetError
from edgeflow.estimate.hls_digits import Digits
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target

TRACED = 16
EMULATED = ("vitis", "vivado", "vivado_accelerator")
"""Compilers whose C++ the emulation follows to the bit: ``ap_fixed`` and its libraries."""
ROOM = 0.02
"""Of agreement, between what tuning measured and what a simulation must reach."""


class Hls4ml(Configured):
    """See `edgeflow.backends.base.Backend`."""

    name = "hls4ml"
    description = "HLS projects (C++) for AMD's, Intel's and other HLS tools, by hls4ml"
    Options = recipe_options.Options

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """Everything that stands in the way, by `rules.RULES`."""
        options = _settled(target, options)
        found = rules.problems(network, options)
        if target.kind != "fpga" and not options["part"]:
            found.append(
                Problem(
                    None, f"the target '{target.name}' is no FPGA", "choose an FPGA, or give a part"
                )
            )
        if large := room.unstorable(network, target, options):
            found.append(large)
        found += _device(target, options)
        if found:
            return found
        verdict = self._fit(network, target, options)
        return [verdict.problem()] if verdict is not None and verdict.certain else []

    def remarks(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[str]:
        """That it may not fit, where the estimate's band leaves it open or there is no estimate."""
        if self.check(network, target, options):
            return []
        settled = _settled(target, options)
        if large := self._fit(network, target, settled):
            return [large.warning()]
        luts = self.estimate(network, target, settled).get("lut")
        if target.kind == "fpga" and luts is not None and luts.value is None:
            return [f"whether it fits is not known: {luts.reason}"]
        return []

    def warnings(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        result: Mapping[str, Any],
        estimates: Mapping[str, Estimate],
    ) -> list[str]:
        """The same of a compiled design, by its own weights; a synthesis decides where one ran."""
        if "synthesis" in result:
            return []
        large = self._fit(network, target, _settled(target, options), result, estimates)
        return [large.warning()] if large is not None else []

    def _fit(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        result: Mapping[str, Any] | None = None,
        figures: Mapping[str, Estimate] | None = None,
    ) -> fitting.Verdict | None:
        if target.kind != "fpga" or options["precision"] == "tuned":  # its bits are to be found
            return None

        def estimating(other: Target, chosen: Mapping[str, Any]) -> dict[str, Estimate]:
            return self.estimate(network, other, chosen, None, result)

        return fitting.verdict(network, target, options, estimating, figures)

    def limits(self) -> list[Limit]:
        """What hls4ml's layers take."""
        return rules.limits()

    def compile(self, request: Request) -> Job:
        """The job that writes the project and builds its C simulation (`job.compile`)."""
        network, options = request.model.network, _settled(request.target, request.options)
        return Job(
            entry="edgeflow.backends.hls4ml.job:compile",
            toolchain="keras",
            title="compile to HLS",
            inputs=_files(request),
            params={
                "name": c_identifier(options["project"] or request.name),
                "part": options["part"] or request.target.chip,
                "clock_ns": _clock_ns(request.target, options),
                "compiler": options["compiler"],
                "io": reuse.interface(network, options),
                "axi": _axi(request.target, options),
                "fifo_depth": options["fifo_depth"],
                "latencies": fifos.latencies(network, request.target, options),
                **_precision(request),
            },
            imports=("numpy", "hls4ml"),
            timeout=1800,
            label=request.target.name,
        )

    def tune(self, request: Request) -> Job | None:
        """The job that finds the narrowest types (`tune_job.tune`); None where nobody asked."""
        options = request.options
        if options["precision"] != "tuned":
            return None
        inputs = _files(request)
        if request.data is not None:
            inputs["data"] = request.data
        return Job(
            entry="edgeflow.backends.hls4ml.tune_job:tune",
            toolchain="keras",
            title="tune the types",
            inputs=inputs,
            params={
                **_precision(request),
                **{name: options[name] for name in ("max_loss", "min_agreement")},
            },
            imports=("numpy", "hls4ml"),
            timeout=3600,
            label=request.target.name,
        )

    def tuned(self, options: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
        """The options with the types that `tune` found."""
        layers = dict(options["layers"])
        for name, types in found["layers"].items():
            layers[name] = {**(layers.get(name) or {}), **types}
        agreement = max(0.0, float(found["agreement"]) - ROOM)
        return {**options, "precision": "auto", "layers": layers, "tuned": agreement}

    def examine(self, request: Request, grid: Path) -> Job:
        """The job that runs the design's types in numpy and says what they lose
        (`examine_job.examine`)."""
        return Job(
            entry="edgeflow.backends.hls4ml.examine_job:examine",
            toolchain="keras",
            title="examine the types",
            inputs={**_files(request), "grid": grid},
            params={
                **_precision(request),
                "exact": _settled(request.target, request.options)["compiler"] in EMULATED,
            },
            imports=("numpy", "hls4ml"),
            timeout=1800,
            label=request.target.name,
        )

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """The C simulation of the compiled project on the golden inputs."""
        assert request.golden is not None
        record = json.loads((compiled / "simulation" / "layers.json").read_text())
        if record["unsimulated"]:
            return []  # its `verified` is then false; the compile job's notes say why
        return [
            Simulation(
                runtime="hls4ml C simulation",
                job=Job(
                    entry="edgeflow.backends.hls4ml.job:simulate",
                    toolchain="keras",
                    title="C simulation",
                    inputs={"compiled": compiled, "golden": request.golden},
                    params={
                        "trace": TRACED,
                        "compiler": record["compiler"],
                        "version": record["version"],
                    },
                    imports=("numpy",),
                    timeout=3600,
                    label=request.target.name,
                ),
                tolerance=tolerances.tolerance(
                    request.model.network, record, request.options.get("tuned")
                ),
            )
        ]

    def synthesise(
        self, request: Request, compiled: Path, run: Run, asked: bool
    ) -> Synthesis | None:
        """Run the vendor's tools on the project; None where nobody asked.

        The result is `edgeflow.synthesis.vendor_reports.gather`'s.

        Raises:
            ToolError: a tool is missing, failed, or ran past a limit.
        """
        if not asked:
            return None
        project = next((compiled / "project").iterdir())
        name = c_identifier(request.options["project"] or request.name)
        predicted = self.estimate(request.model.network, request.target, request.options)
        request = replace(request, options=_settled(request.target, request.options))
        return synthesis.synthesise(request, name, project, run, predicted)

    def check_tools(self, name: str, target: Target, options: Mapping[str, Any]) -> None:
        """See that the vendor's tools are there, before any work.

        Raises:
            ToolError: naming those that were looked for and the way round.
        """
        name = c_identifier(options["project"] or name)
        synthesis.check(name, _settled(target, options))

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,  # noqa: ARG002 - of the contract
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs; the resources need the report of a synthesis (``result["synthesis"]``)."""
        report = (result or {}).get("synthesis")
        options = _settled(target, options)
        clock = options["clock_mhz"] or target.clock_mhz
        counted = {
            name: Digits(*counts) for name, counts in ((result or {}).get("digits") or {}).items()
        }
        return costs.estimates(network, target, clock, report, options, counted)

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The project's folder."""
        return {PROJECT: next((compiled / "project").iterdir())}


def _settled(target: Target, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with the compiler that ``auto`` stands for."""
    if options["compiler"] != "auto":
        return options
    return {**options, "compiler": for_device(options["part"] or target.chip)}


def _files(request: Request) -> dict[str, Path]:
    """What a plan is drawn from (`draw_job.draw`)."""
    found = {"network": request.model.path / "network.json", "weights": request.model.weights}
    return found | ({"golden": request.golden} if request.golden is not None else {})


def _precision(request: Request) -> dict[str, Any]:
    """How a plan's types are chosen."""
    options = _settled(request.target, request.options)
    default = "auto" if options["precision"] == "tuned" else options["precision"]
    return {
        **{name: options[name] for name in ("bits", "table_size")},
        "precision": default,
        "layers": _layers(request.model.network, options),
        "softmax": options["softmax"],
    }


def _device(target: Target, options: Mapping[str, Any]) -> list[Problem]:
    """Whether the compiler knows the device, and the accelerator the board."""
    compiler = COMPILERS[options["compiler"]]
    if compiler.name == "vivado_accelerator":
        axi = _axi(target, options)
        if axi["board"] is None:
            return [
                Problem(
                    None, f"hls4ml has no block design for the board '{target.name}'",
                    f"set axi: {{board: …}} to one of {', '.join(recipe_options.BOARDS)}, "
                    "or compiler: vitis",
                )
            ]  # fmt: skip
        if axi["interface"] == "axi_lite" and axi["board"] != "pynq-z2":
            return [
                Problem(
                    None, f"hls4ml has axi_lite for pynq-z2 alone, found {axi['board']}",
                    "axi: {interface: axi_stream}",
                )
            ]  # fmt: skip
        return []
    part = options["part"] or target.chip
    if re.match(compiler.parts, part):
        return []
    fits = [item.name for item in COMPILERS.values() if re.match(item.parts, part)]
    return [
        Problem(
            None, f"{compiler.tool} does not know the device '{part}'",
            f"set compiler to {' or '.join(fits)}" if fits else "choose an FPGA, or give a part",
        )
    ]  # fmt: skip


def _axi(target: Target, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the AXI wrapper, the board from the target; None where it has none."""
    axi = dict(options["axi"])
    known = [
        name
        for name in (target.settings.get("board"), target.name)
        if name in recipe_options.BOARDS
    ]
    axi["board"] = axi["board"] or (known[0] if known else None)
    return axi


def _clock_ns(target: Target, options: Mapping[str, Any]) -> float:
    clock = options["clock_mhz"] or target.clock_mhz
    if not clock:
        raise TargetError(
            f"the target '{target.name}' has no default clock", remedy="give the option clock_mhz"
        )
    return round(1000 / float(clock), 4)


def _layers(network: Network, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each layer's own types, and its strategy and reuse factor, legal ones."""
    keys = (*recipe_options.ROLES, "fifo_depth")
    found = {
        name: {key: own[key] for key in keys if own.get(key)}
        for name, own in options["layers"].items()
    }
    for name, choice in reuse.choices(network, options).items():
        found.setdefault(name, {}).update(
            {key: value for key, value in asdict(choice).items() if value is not None}
        )
    return found


BACKEND = Hls4ml()
