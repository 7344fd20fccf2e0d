"""The onnxruntime backend: one ONNX file for boards that run ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.backends import expected
from edgeflow.backends.base import Configured, Limit, Problem, Request, Simulation, Table
from edgeflow.backends.onnxruntime import costs, support, tolerances
from edgeflow.backends.onnxruntime.options import OPSET, SAMPLES, Options
from edgeflow.backends.tflite.backend import operator_table
from edgeflow.errors import DataError
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target


@dataclass(frozen=True)
class OnnxRuntime(Configured):
    """See `edgeflow.backends.base.Backend`."""

    name: str = "onnxruntime"
    description: str = "ONNX files (float32, int8 QDQ) for ONNX Runtime"
    Options = Options

    def limits(self) -> list[Limit]:
        """What it takes, from `support`'s tables."""
        return support.limits()

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """Everything that stands in the way; an empty list where nothing does."""
        return support.problems(network, target, resolve(network, options))

    def needs_data(self, network: Network, target: Target, options: Mapping[str, Any]) -> bool:
        """Whether the compilation measures ranges on data."""
        del target
        return needs_data(network, resolve(network, options))

    def compile(self, request: Request) -> Job:
        """The job that writes ``model.onnx`` and ``model.json``.

        Raises:
            DataError: ranges have to be measured and there are no data.
        """
        network = request.model.network
        chosen = resolve(network, request.options)
        inputs = {"model": request.model.path}
        if needs_data(network, chosen):
            if request.data is None:
                raise DataError(
                    "precision int8 needs data to measure ranges",
                    where=f"target '{request.target.name}'",
                    remedy="give `data` in the recipe, or choose float32",
                )
            inputs["data"] = request.data
        return Job(
            entry="edgeflow.backends.onnxruntime.job:convert",
            toolchain="keras",
            title="compile to ONNX",
            inputs=inputs,
            params=chosen,
            imports=("onnx", "onnxruntime"),
            timeout=1800,
            label=request.target.name,
        )

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """The file in ONNX Runtime on the CPU: with its fusions, and node by node as written."""
        assert request.golden is not None
        facts = json.loads((compiled / "model.json").read_text())
        allowed = tolerances.choose(
            request.model.network,
            request.model.format,
            facts,
            expected.spread(request.golden),
            expected.classes(request),
        )
        found = []
        for resolver, deciding in (("optimised", True), ("as written", False)):
            job = Job(
                entry="edgeflow.backends.onnxruntime.run_job:run",
                toolchain="keras",
                title=f"run in ONNX Runtime ({resolver})",
                inputs={"compiled": compiled, "golden": request.golden},
                params={"resolver": resolver},
                imports=("onnx", "onnxruntime"),
                timeout=1800,
                label=request.target.name,
            )
            found.append(Simulation(f"onnxruntime CPU, {resolver}", job, allowed, deciding))
        return found

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs; the size is exact once the file is there."""
        precision = resolve(network, options)["precision"]
        return costs.estimate(network, target, precision, compiled, result)

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The file."""
        return {"onnx": compiled / "model.onnx"}

    def tables(self, compiled: Path, result: Mapping[str, Any]) -> list[Table]:  # noqa: ARG002
        """How many operators of each kind the file has."""
        return operator_table(compiled)


def resolve(network: Network, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what follows from the model.

    int8 for models that are quantised to 8 bits or less, float32 else. ``copy``: an ONNX model
    that has the precision, and of which nothing else was asked, is taken as it is.
    """
    few_bits = any((layer.weight_bits or 32) <= 8 for layer in network)
    precision = options.get("precision") or ("int8" if few_bits else "float32")
    keeps = not any(options.get(name) for name in ("opset", "input_layout", "output_layout"))
    own = network.source.get("format") == "onnx"
    return {
        "precision": precision,
        "opset": options.get("opset") or OPSET,
        "input_layout": options.get("input_layout"),
        "output_layout": options.get("output_layout"),
        "calibration_samples": options.get("calibration_samples") or SAMPLES,
        "copy": own and keeps and (precision == "int8") == network.quantized,
    }


def needs_data(network: Network, chosen: Mapping[str, Any]) -> bool:
    """Whether ranges have to be measured for this precision."""
    return chosen["precision"] == "int8" and not network.quantized


BACKEND = OnnxRuntime()

__all__ = ["BACKEND", "OnnxRuntime", "needs_data", "resolve"]
