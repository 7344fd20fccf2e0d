"""The edge_tpu backend: int8 .tflite files for Google Coral's Edge TPU."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.base import Limit, Problem, Request, Table
from edgeflow.backends.edge_tpu import costs
from edgeflow.backends.edge_tpu import rules_job as rules
from edgeflow.backends.edge_tpu.options import Options
from edgeflow.backends.tflite import operators
from edgeflow.backends.tflite.backend import BACKEND as TFLITE
from edgeflow.backends.tflite.onward import OnTFLite
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target

PROGRAM = "edgetpu_compiler"


class EdgeTPU(OnTFLite):
    """See `edgeflow.backends.base.Backend`."""

    name = "edge_tpu"
    description = "int8 TFLite files for Coral's Edge TPU: what maps, and edgetpu_compiler"
    Options = Options

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """What the .tflite file cannot hold; which operators map is said once it is there."""
        return TFLITE.check(network, target, self.file_options(network, options))

    def file_options(self, network: Network, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the file, which takes and gives int8 where nothing else is said."""
        found = {key: value for key, value in options.items() if key != "compiler_timeout"}
        quantised = network.source.get("format") == "tflite" and any(
            layer.quantizer is not None for layer in network
        )
        if not quantised:
            for way in ("input_type", "output_type"):
                found[way] = found.get(way) or "int8"
        return found

    def remarks(
        self,
        network: Network,
        target: Target,  # noqa: ARG002 - of the contract
        options: Mapping[str, Any],  # noqa: ARG002
    ) -> list[str]:
        """Where the graph is cut, as far as the layers' kinds say."""
        for layer, operator in operators.of(network):
            if operator not in rules.BY_KIND:
                return [
                    f"{operator} ({layer}) does not map: it and what follows from it run on the "
                    "processor (the graph is cut once)"
                ]
        return []

    def limits(self) -> list[Limit]:
        """Google's table of operators."""
        always = tuple(rule.kind for rule in rules.RULES if not rule.condition)
        found = [Limit(always, "taken")]
        found += [
            Limit((rule.kind,), rule.condition, rule.remedy)
            for rule in rules.RULES
            if rule.condition
        ]
        return [
            *found,
            Limit((), "int8 or uint8 tensors of fixed shape, at most the 3 innermost axes above 1",
                  "quantise the model to int8, with batch 1"),
            Limit((), "any other operator, and what follows from it, runs on the processor: the "
                  "graph is cut once", "move it behind the layers that map"),
        ]  # fmt: skip

    def compile(self, request: Request) -> Job:
        """The job that says what maps, and runs the compiler where it is installed."""
        assert request.base is not None
        program = shutil.which(PROGRAM)
        return Job(
            entry="edgeflow.backends.edge_tpu.job:compile",
            toolchain="keras",
            title="compile for the Edge TPU" if program else "verdict for the Edge TPU",
            inputs={"tflite": request.base},
            params={"compiler": _digest(program)},
            limits={"program": program, "timeout": request.options["compiler_timeout"]},
            timeout=request.options["compiler_timeout"] + 300,
            label=request.target.name,
        )

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,  # noqa: ARG002 - of the contract
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs; the memory for parameters once the file is there."""
        size = {"bytes": result["file_bytes"]} if result and "file_bytes" in result else None
        file_options = self.file_options(network, options)
        found = TFLITE.estimate(network, target, file_options, None, size)
        return costs.estimate(network, found, target, result)

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The verdict, the file to compile, and the compiled file where there is one."""
        found = {"verdict": compiled / "verdict.json", "tflite": compiled / "model.tflite"}
        if (made := compiled / "model_edgetpu.tflite").is_file():
            found["tflite_edgetpu"] = made
        return found

    def tables(self, compiled: Path, result: Mapping[str, Any]) -> list[Table]:  # noqa: ARG002
        """Where each operator runs; why not on the Edge TPU, and what to do about it."""
        columns = ("operator", "name", "runs on", "reason", "remedy")
        rows = tuple(
            (
                row["operator"],
                row["name"],
                "Edge TPU" if row["mapped"] else "processor",
                row["reason"] or ("unsure" if row["unsure"] else ""),
                row["remedy"],
            )
            for row in result["table"]
        )
        said = "by edgetpu_compiler" if result["source"] != "static" else "by the published rules"
        return [Table(f"Operators, {said}", columns, rows)]


def _digest(program: str | None) -> str | None:
    """What tells one version of a program from another."""
    if program is None:
        return None
    with Path(program).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


BACKEND = EdgeTPU()
