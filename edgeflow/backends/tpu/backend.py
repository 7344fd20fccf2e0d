"""The `tpu` backend: a StableHLO graph for CPU and TPU, and what the TPU's compiler says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends import expected
from edgeflow.backends.base import Configured, Limit, Problem, Request, Simulation, Table, Tolerance
from edgeflow.backends.tpu import checks, costs
from edgeflow.backends.tpu.generations import GENERATIONS
from edgeflow.backends.tpu.options import Options
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target

RUNTIME = "StableHLO on CPU (XLA)"


class Tpu(Configured):
    """Compiles by `jax.export`; needs no TPU, and no libtpu but for `ahead`."""

    name = "tpu"
    description = "StableHLO graph for Cloud TPUs and CPU (jax.export), compiled ahead of time"
    Options = Options

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """Everything that stands in the way, at once."""
        return checks.problems(network, target, options)

    def limits(self) -> list[Limit]:
        """What the graph's interpreter takes."""
        return checks.limits()

    def compile(self, request: Request) -> Job:
        """The export job."""
        return Job(
            "edgeflow.backends.tpu.job:export",
            "tpu",
            "export to StableHLO",
            _model(request),
            {**_arithmetic(request), "batch": request.options["batch"]},
            imports=("jax",),
            timeout=1800,
        )

    def ahead(self, request: Request, compiled: Path) -> Job | None:
        """The job that compiles the artifact for the target's generation (libtpu).

        It is optional: where libtpu cannot be had, the estimates say so. None for a generation
        that the compiler does not know.
        """
        name = str(request.target.settings.get("generation"))
        generation = GENERATIONS.get(name)
        if generation is None:
            return None
        return Job(
            "edgeflow.backends.tpu.aot_job:compile_ahead",
            "tpu_aot",
            f"compile ahead of time for TPU {name}",
            {"artifact": compiled},
            {
                "generation": name,
                "topology": generation.topology,
                "options": dict(generation.options),
                "layers": [layer.name for layer in request.model.network],
            },
            imports=("jax",),
            timeout=1800,
        )

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """Run the artifact itself on the CPU."""
        assert request.golden is not None, "the pipeline makes golden inputs before it simulates"
        job = Job(
            "edgeflow.backends.tpu.job:simulate",
            "tpu",
            "run the StableHLO graph on CPU",
            {**_model(request), "artifact": compiled, "golden": request.golden},
            _arithmetic(request),
            imports=("jax",),
            timeout=3600,
        )
        scale = expected.spread(request.golden)
        return [Simulation(RUNTIME, job, tolerance(request.model.network, request.options, scale))]

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs: ``result["ahead"]`` is the result of the `ahead` job where it ran."""
        return costs.estimates(network, target, options, compiled, result or {})

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The graph, its text to read, and what it takes and gives."""
        return {
            "stablehlo": compiled / "model.stablehlo",
            "mlir": compiled / "model.mlir",
            "signature": compiled / "signature.json",
        }

    def tables(self, compiled: Path, result: Mapping[str, Any]) -> list[Table]:  # noqa: ARG002
        """The compiler's cycles by layer, where it ran."""
        layers = (result.get("ahead") or {}).get("layers")
        if not layers:
            return []
        rows = tuple((name or "between layers", cycles) for name, cycles in layers.items())
        return [Table("Cycles by layer, estimated by libtpu", ("layer", "cycles"), rows)]


def _model(request: Request) -> dict[str, Path]:
    return {"network": request.model.path / "network.json", "weights": request.model.weights}


def _arithmetic(request: Request) -> dict[str, Any]:
    return {name: request.options[name] for name in ("precision", "rescaling")}


def tolerance(network: Network, options: Mapping[str, Any], scale: float) -> Tolerance:
    """How far the artifact's outputs may be from the model's, whose outputs span `scale`.

    float32: sums in another order, about 1e-7 of the values for each of some tens of layers; 2e-4
    of the range was seen where batch norms bring sums of 8,000 to 10 (MLPerf Tiny's autoencoder).
    bfloat16: operands keep 8 bits, so each product is off by up to 2**-8. Where activations are
    quantised, a sum that lies on the edge of two levels may round to the other one: then outputs
    differ by whole levels, on few inputs.
    """
    quantised = any(layer.quantizer and layer.quantizer.bits < 16 for layer in network)
    scale = scale or 1.0
    if network.source.get("format") == "tflite" and network.quantized:
        if options["precision"] == "int8" and options.get("rescaling") == "fixed_point":
            # Equal to tflite-runtime's reference kernels on MLPerf Tiny's five models; the model's
            # own outputs are LiteRT's, whose dense layers round once: up to 8 levels of a softmax.
            return Tolerance(
                0.1 * scale,
                0.9,
                "layers are rescaled in integers as tflite-runtime's reference kernels do; "
                "LiteRT's, which these are compared with, round some layers otherwise",
            )
        # Seen: 1 level in 0.1 % of the first layer's outputs, up to 7 levels at ResNet8's end.
        return Tolerance(
            0.3 * scale,
            0.9,
            "TFLite computes in integers with its own fixed-point rounding (or rounds activations "
            "on the fly); the graph rescales sums in float32 to the same levels",
        )
    if options["precision"] == "bfloat16":
        return Tolerance(
            (0.25 if quantised else 0.1) * scale,
            0.95,
            "operands of products are rounded to bfloat16 (8 significant bits)"
            + (", and quantisers then round some to another level" if quantised else ""),
        )
    if quantised:
        return Tolerance(
            0.1 * scale,
            0.99,
            "float32 sums in another order; one on the edge of two levels of a quantiser may "
            "round to the other",
        )
    return Tolerance(1e-3 * scale, 0.999, "float32 sums in another order")


BACKEND = Tpu()
