"""The rtl backend: Verilog and VHDL from adder graphs, simulated, synthesised with open tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.base import (
    Configured,
    Limit,
    Problem,
    Request,
    Run,
    Simulation,
    Synthesis,
    Table,
)
from edgeflow.backends.rtl import build, costs, limits, names, rules, stream, timing, tolerances
from edgeflow.backends.rtl import options as recipe_options
from edgeflow.backends.rtl import tables as report_tables
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target


class Rtl(Configured):
    """See `edgeflow.backends.base.Backend`."""

    name = "rtl"
    description = "Verilog and VHDL from adder graphs, by da4ml and open synthesis"
    Options = recipe_options.Options

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """Everything that stands in the way, by `rules`."""
        return rules.problems(network, target, options)

    def limits(self) -> list[Limit]:
        """What the two styles take."""
        return limits.limits()

    def compile(self, request: Request) -> Job:
        """The job that writes the design (`job.compile`)."""
        network, options = request.model.network, request.options
        inputs = {
            "network": request.model.path / "network.json",
            "weights": request.model.weights,
        }
        if request.golden is not None:
            inputs["golden"] = request.golden
        style = rules.style(network, request.target, options)
        if style == "stream":
            name = options["top"] or request.name
            return stream.compile_job(
                request.model, request.target, options, request.golden, name,
                rules.shared_because(network, options),
            )  # fmt: skip
        levels = 0
        if style == "pipelined":
            wished = options["clock_mhz"] or request.target.clock_mhz
            levels = timing.levels_for(request.target, wished)
        return Job(
            entry="edgeflow.backends.rtl.job:compile",
            toolchain="rtl",
            title="compile to RTL",
            inputs=inputs,
            params={
                "name": names.legal(options["top"] or request.name),
                "levels": levels,
                "latency_cycles": 0 if style == "combinational" else options["latency_cycles"],
                "input_bits": options["input_bits"],
                "input_type": options["input_type"],
                "table_bits": options["table_bits"],
            },
            imports=("numpy", "da4ml.trace"),
            timeout=3600,
            label=request.target.name,
        )

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """Verilator on the golden inputs, which decides, and da4ml's own interpreter."""
        assert request.golden is not None
        record = json.loads((compiled / "result.json").read_text())
        tolerance = tolerances.of_result(record)
        if record["style"] == "stream":
            streamed = stream.simulate_job(
                compiled, request.golden, softmax=bool(record["softmax"]),
                label=request.target.name,
            )  # fmt: skip
            return [Simulation("Verilator", streamed, tolerance)]

        def job(entry: str, title: str) -> Job:
            assert request.golden is not None
            return Job(
                entry=f"edgeflow.backends.rtl.{entry}",
                toolchain="rtl",
                title=title,
                inputs={"compiled": compiled, "golden": request.golden},
                params={"softmax": bool(record["softmax"])},
                imports=("numpy", "da4ml.trace"),
                timeout=3600,
                label=request.target.name,
            )

        return [
            Simulation("Verilator", job("verilator_job:simulate", "simulate the RTL"), tolerance),
            Simulation(
                "da4ml interpreter", job("job:interpret", "interpret the adder graph"), tolerance,
                deciding=False,
            ),
        ]  # fmt: skip

    def synthesise(
        self, request: Request, compiled: Path, run: Run, asked: bool
    ) -> Synthesis | None:
        """Open synthesis, and further as the option ``build`` says (`build.synthesise`).

        Raises:
            UnsupportedError: the design does not fit the target.
        """
        return build.synthesise(request, compiled, run, asked)

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,  # noqa: ARG002 - of the contract
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs: counted by the tools, or from the adder graph, or predicted."""
        return costs.estimates(network, target, options, result)

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The design's folder."""
        return {"rtl_design": compiled}

    def tables(self, compiled: Path, result: Mapping[str, Any]) -> list[Table]:  # noqa: ARG002
        """Resources used and free, the critical path by layer, toggles, once synthesis has run."""
        return report_tables.tables(result.get("synthesis"))


BACKEND = Rtl()
