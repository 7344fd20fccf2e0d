"""The TFLite backend: one .tflite file for Linux boards, microcontrollers and NPUs' compilers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.backends import expected
from edgeflow.backends.base import Configured, Limit, Problem, Request, Simulation, Table
from edgeflow.backends.tflite import costs, support, tolerances
from edgeflow.backends.tflite.options import SAMPLES, Options
from edgeflow.errors import DataError
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target


@dataclass(frozen=True)
class TFLite(Configured):
    """See `edgeflow.backends.base.Backend`."""

    name: str = "tflite"
    description: str = "TensorFlow Lite files (float32, float16, dynamic, int8, 16x8)"
    Options = Options

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """Everything that stands in the way; an empty list where nothing does."""
        chosen = resolve(network, target, options)
        wrong = _wrong_labels(network, chosen["labels"])
        if network.source.get("format") == "tflite" and not _convertible(network, chosen):
            kept = support.memory(network, target, chosen["precision"])
            return support.custom(network) + kept + wrong
        found = support.problems(network, target, chosen["precision"])
        for way in ("input_type", "output_type"):
            allowed = _types(chosen["precision"])
            if chosen[way] not in allowed:
                found.append(
                    Problem(
                        None, f"{way} {chosen[way]} does not go with {chosen['precision']}",
                        f"choose {' or '.join(allowed)}",
                    )
                )  # fmt: skip
        return found + wrong

    def limits(self) -> list[Limit]:
        """What TFLite's operators take."""
        return support.limits()

    def needs_data(self, network: Network, target: Target, options: Mapping[str, Any]) -> bool:
        """Whether the compilation measures ranges on data."""
        return needs_data(network, resolve(network, target, options))

    def compile(self, request: Request) -> Job:
        """The job that writes ``model.tflite`` and ``model.json``.

        Raises:
            DataError: ranges have to be measured and there are no data.
        """
        network = request.model.network
        chosen = resolve(network, request.target, request.options)
        about = _about(request)
        chosen["labels"] = chosen["labels"] or _class_names(network, about)
        if "normalisation" in about and chosen["metadata"] is not False:
            chosen["normalisation"] = about["normalisation"]
        inputs = {"model": request.model.path}
        if needs_data(network, chosen):
            if request.data is None:
                raise DataError(
                    f"precision {chosen['precision']} needs data to measure ranges",
                    where=f"target '{request.target.name}'",
                    remedy="give `data` in the recipe, or choose float32, float16 or dynamic",
                )
            inputs["data"] = request.data
        return Job(
            entry="edgeflow.backends.tflite.job:convert",
            toolchain="keras",
            title="compile to TFLite",
            inputs=inputs,
            params=chosen,
            imports=("tensorflow", "keras"),
            timeout=1800,
            label=request.target.name,
        )

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """The file in LiteRT and in tflite-runtime, each with its usual and reference kernels."""
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
        for runtime, resolver, deciding in (
            ("litert", "XNNPACK", True),
            (*REFERENCE, True),
            ("litert", "BUILTIN_REF", False),
            ("tflite-runtime", "XNNPACK", False),
        ):
            job = run(request, compiled, runtime, resolver)
            found.append(Simulation(f"{runtime} {resolver}", job, allowed, deciding))
        return found

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs; sizes are exact once the file is there."""
        precision = resolve(network, target, options)["precision"]
        return costs.estimate(network, target, precision, compiled, result)

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The file, what it holds (operators, tensors), and its class names where there are any."""
        found = {"tflite": compiled / "model.tflite", "operators": compiled / "model.json"}
        labels = compiled / "labels.txt"
        return {**found, "labels": labels} if labels.is_file() else found

    def tables(self, compiled: Path, result: Mapping[str, Any]) -> list[Table]:  # noqa: ARG002
        """How many operators of each kind the file has."""
        return operator_table(compiled)


def operator_table(compiled: Path) -> list[Table]:
    """The counts in a compile job's ``model.json``: ``op_counts`` and ``float_operators``."""
    facts = json.loads((compiled / "model.json").read_text())
    floats = Counter(facts["float_operators"])
    rows = tuple((kind, many, floats[kind]) for kind, many in facts["op_counts"].items())
    return [Table("Operators of the file", ("operator", "count", "in float"), rows)]


REFERENCE = ("tflite-runtime", "BUILTIN_REF")
"""The runtime and kernels whose numbers are the same on every machine."""


def run(request: Request, compiled: Path, runtime: str, resolver: str) -> Job:
    """The job that runs a file on the golden inputs.

    Args:
        request: with its golden folder.
        compiled: the folder of the compile job.
        runtime: ``litert`` or ``tflite-runtime``.
        resolver: ``XNNPACK`` or ``BUILTIN_REF``.
    """
    assert request.golden is not None
    litert = runtime == "litert"
    package = "ai_edge_litert" if litert else "tflite_runtime"
    return Job(
        entry=f"edgeflow.backends.tflite.run_job:{'litert' if litert else 'tflite_runtime'}",
        toolchain="keras" if litert else "tflite_runtime",
        title=f"run in {runtime} ({resolver})",
        inputs={"compiled": compiled, "golden": request.golden},
        params={"resolver": resolver},
        imports=(f"{package}.interpreter",),
        timeout=1800,
        label=request.target.name,
    )


def resolve(network: Network, target: Target, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what follows from the model and the target.

    int8 for microcontrollers, NPUs and models that are quantised to 8 bits or less; float32 else.
    A file for a Linux board takes and gives float32, others their own integers.
    ``input_type_given`` and ``output_type_given`` say what the user asked for.
    """
    small = target.kind in ("mcu", "npu")
    few_bits = any((layer.weight_bits or 32) <= 8 for layer in network)
    usual_precision = "int8" if small or few_bits else "float32"
    if network.source.get("format") == "tflite" and not small:
        quantized = any(layer.quantizer is not None for layer in network)
        usual_precision = "int8" if quantized else _of_floats(network)
    precision = options.get("precision") or usual_precision
    usual = {"int8": "int8", "16x8": "int16"}.get(precision, "float32") if small else "float32"
    return {
        "precision": precision,
        "input_type": options.get("input_type") or usual,
        "output_type": options.get("output_type") or usual,
        "input_type_given": bool(options.get("input_type")),
        "output_type_given": bool(options.get("output_type")),
        "calibration_samples": options.get("calibration_samples") or SAMPLES,
        "labels": options.get("labels"),
        "metadata": options.get("metadata"),
    }


def _wrong_labels(network: Network, labels: list[str] | None) -> list[Problem]:
    classes = network[network.outputs[0]].output_size
    if not labels or len(labels) == classes:
        return []
    return [
        Problem(
            None, f"the option labels has {len(labels)} names, the model has {classes} outputs",
            "give one name for each class, in their order",
        )
    ]  # fmt: skip


def _about(request: Request) -> dict[str, Any]:
    """What the dataset's ``data.json`` says; nothing where there is none."""
    path = request.data / "data.json" if request.data is not None else None
    found: dict[str, Any] = json.loads(path.read_text()) if path and path.is_file() else {}
    return found


def _class_names(network: Network, about: Mapping[str, Any]) -> list[str] | None:
    """The dataset's class names, where it has as many as the model has outputs."""
    names = about.get("class_names") or ()
    fits = len(names) == network[network.outputs[0]].output_size
    return [str(name) for name in names] if names and fits else None


def needs_data(network: Network, chosen: Mapping[str, Any]) -> bool:
    """Whether ranges have to be measured for this precision."""
    if chosen["precision"] not in support.INTEGERS:
        return False
    if network.source.get("format") == "tflite" and not _convertible(network, chosen):
        return False
    if chosen["precision"] == "16x8" or not network.quantized:
        return True
    from edgeflow.backends.tflite import plan_job

    return bool(plan_job.missing(network))


def _convertible(network: Network, chosen: Mapping[str, Any]) -> bool:
    """Whether a .tflite model has float activations, from which another precision can be made."""
    floats = all(layer.quantizer is None for layer in network)
    return floats and chosen["precision"] != _of_floats(network)


def _of_floats(network: Network) -> str:
    """The precision of a .tflite file with float activations."""
    bits = min((layer.weight_bits or 32 for layer in network), default=32)
    return "float32" if bits > 16 else "float16" if bits > 8 else "dynamic"


def _types(precision: str) -> tuple[str, ...]:
    if precision == "int8":
        return ("float32", "int8", "uint8")
    return ("float32", "int16") if precision == "16x8" else ("float32",)


BACKEND = TFLite()

__all__ = ["BACKEND", "REFERENCE", "TFLite", "needs_data", "resolve", "run"]
