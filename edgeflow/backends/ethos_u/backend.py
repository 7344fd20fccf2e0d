"""The ethos_u backend: .tflite files for Arm Ethos-U NPUs, by Vela."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.backends.base import Limit, Problem, Request, Table
from edgeflow.backends.ethos_u import costs, operators
from edgeflow.backends.ethos_u.options import Options
from edgeflow.backends.tflite.backend import BACKEND as TFLITE
from edgeflow.backends.tflite.onward import OnTFLite
from edgeflow.estimate.quantity import Estimate
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target

SETTINGS = ("accelerator", "system_config", "memory_mode")


class EthosU(OnTFLite):
    """See `edgeflow.backends.base.Backend`."""

    name = "ethos_u"
    description = "int8 TFLite files compiled for Arm Ethos-U NPUs, by Vela"
    Options = Options

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """What the .tflite file cannot hold, and what Vela must be told and is not."""
        found = TFLITE.check(network, target, options)
        missing = [key for key in SETTINGS if not (options.get(key) or target.settings.get(key))]
        if missing:
            found.append(
                Problem(
                    None, f"the target '{target.name}' does not say {', '.join(missing)}",
                    f"give the options {', '.join(missing)}, or choose an ethos-u target",
                )
            )  # fmt: skip
        return found

    def remarks(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[str]:
        """Which layers run on the processor beside the NPU, as far as their kind says."""
        accelerator = options.get("accelerator") or target.settings.get("accelerator")
        return operators.remarks(network, str(accelerator)) if accelerator else []

    def limits(self) -> list[Limit]:
        """What Vela can place on the NPU."""
        return operators.limits()

    def compile(self, request: Request) -> Job:
        """The job that runs Vela."""
        assert request.base is not None
        options, settings = request.options, request.target.settings
        return Job(
            entry="edgeflow.backends.ethos_u.job:compile",
            toolchain="keras",
            title="compile for the NPU",
            inputs={"tflite": request.base},
            params={
                **{key: options.get(key) or settings.get(key) for key in SETTINGS},
                "optimise": options["optimise"],
                "arena_cache_size": options["arena_cache_size"],
            },
            timeout=1800,
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
        """What it costs, by Vela's own figures once it has run."""
        file = TFLITE.estimate(network, target, options)
        return costs.estimate(network, file, target, result, options.get("accelerator"))

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The compiled file, and Vela's tables."""
        return {"tflite_vela": compiled / "model_vela.tflite", "vela": compiled / "vela.json"}

    def tables(self, compiled: Path, result: Mapping[str, Any]) -> list[Table]:  # noqa: ARG002
        """Vela's table by operator, and what is left to the processor, with its reason."""
        columns = ("operator", "cycles", "MACs", "utilisation", "name")
        found = [
            Table(
                "Operators on the NPU, by Vela",
                columns,
                tuple(
                    (row["operator"], row["cycles"], row["macs"], row["utilisation"], row["name"])
                    for row in result["operators"]
                ),
            )
        ]
        if left := result["cpu_operators"]:
            rows = tuple((i["kind"], i["name"], i["reason"] or "Vela gives none") for i in left)
            found.append(Table("Operators on the processor", ("operator", "name", "reason"), rows))
        return found


BACKEND = EthosU()
