"""What a backend is: four words, the same for every compiler.

`check` says what stands in the way, all of it at once; `compile` gives the job that makes the
artifact; `simulate` the jobs that run it on inputs; `estimate` what it costs. A third party adds a
backend by the entry point group ``edgeflow.backends``, whose object follows `Backend`.

Files that stages hand to each other:
    golden folder: ``golden.npz`` with ``x`` (inputs, n x …, test data first) and ``y`` (the
        model's own outputs, n x …; logits or probabilities, as the model gives them), and
        ``trace.npz`` with the output of each Network layer for the first inputs, by layer name.
    simulate job: ``outputs.npz`` with ``y`` (as golden's, dequantised to float32), maybe
        ``trace.npz`` by the same layer names; its result has ``runtime``, ``version`` and
        ``resolver``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from edgeflow import validation
from edgeflow.estimate.quantity import Estimate
from edgeflow.frontends.model import Model
from edgeflow.jobs import Finished, Job
from edgeflow.network import Network
from edgeflow.targets import Target
from edgeflow.verify import Tolerance

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "Backend",
    "Configured",
    "Limit",
    "Problem",
    "Request",
    "Simulation",
    "Synthesis",
    "Table",
    "Tolerance",
]


@dataclass(frozen=True)
class Problem:
    """Why a backend cannot take a model, in one place, and what to do about it."""

    layer: str | None
    message: str
    remedy: str

    def __str__(self) -> str:
        place = f"layer '{self.layer}': " if self.layer else ""
        return f"{place}{self.message} ({self.remedy})"


@dataclass(frozen=True)
class Limit:
    """One line of what a backend takes: `edgeflow check --list` and docs/backends.md show them.

    ``kinds`` are the Network's kinds, or the operators of the backend's own format, that it is
    about; empty for all. ``limit`` says what is taken, or what must hold; ``remedy`` what to do
    where it does not (empty for what is simply taken); ``only`` with which option, interface or
    precision it holds.
    """

    kinds: tuple[str, ...]
    limit: str
    remedy: str = ""
    only: str = ""


@dataclass(frozen=True)
class Simulation:
    """One way to run a compiled artifact: the runtime's name, the job, what it must agree with.

    ``deciding``: whether the artifact's ``verified`` depends on it (a second runtime whose
    rounding is known to differ is shown, and need not). ``against``: another simulation whose
    outputs these are compared with, instead of the model's own.
    """

    runtime: str
    job: Job
    tolerance: Tolerance
    deciding: bool = True
    against: Job | None = None


@dataclass(frozen=True)
class Request:
    """What to compile: the model, for which target, with which of the backend's options.

    ``golden`` is the golden folder, ``data`` the dataset's folder (``data.npz`` with ``x_train``,
    ``y_train``, ``x_test``, ``y_test``); None where the user gave no data.
    ``options`` has passed `Backend.options`. ``base`` is the folder of the backend's `base` job.
    """

    model: Model
    target: Target
    options: Mapping[str, Any] = field(default_factory=dict)
    golden: Path | None = None
    data: Path | None = None
    name: str = "model"
    base: Path | None = None


@dataclass(frozen=True)
class Synthesis:
    """What the tools behind a compiler made of its artifact.

    ``result`` is what they said; `Backend.estimate` finds it as ``result["synthesis"]``.
    ``artifacts`` are further files for the user, by kind (``bitstream``, ``saif``, …);
    ``simulations`` further ways to run what was made (a netlist), which are verified like the
    others; ``notes`` are shown in the report. ``report`` is what the report shows of a vendor's
    synthesis (`edgeflow.report.schema.VendorSynthesis`).
    """

    result: Mapping[str, Any]
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    simulations: tuple[Simulation, ...] = ()
    notes: tuple[str, ...] = ()
    report: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Table:
    """What a compiler said of its operators or layers, row by row, for the report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]


Run = Callable[[Job], Finished]
"""Runs a job of the pipeline's, or finds it in the store."""


class Configured:
    """A backend's two methods about its options, which `Options` (a pydantic model) describes."""

    Options: ClassVar[type[BaseModel]]

    def options(self, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check the recipe's options and fill in the defaults.

        Raises:
            RecipeError: an unknown option or a wrong value, all at once.
        """
        return validation.options(self.Options, given, where)

    def schema(self) -> dict[str, Any]:
        """The options' JSON Schema."""
        return self.Options.model_json_schema()


class Backend(Protocol):
    """One compiler.

    A backend may have more methods, which the pipeline looks for by name:
        ``needs_data(network, target, options) -> bool``: whether it cannot compile without data.
        ``tune(request) -> Job | None``: finds types (or other options) before `compile`, where
            the options ask for it; ``tuned(options, result) -> options`` puts them in. The job
            leaves ``precision.yaml``; its result is the report's ``precision``, see
            `edgeflow.backends.hls4ml.tune_job`.
        ``examine(request, grid) -> Job``: looks into the arithmetic of what `compile` makes of the
            same request, on the inputs of the golden folder ``grid`` (those on the design's own
            grid). Its result has ``overflows``, ``clipped`` (lists) and ``divergence`` (or None):
            findings with ``layer``, ``role``, ``type``, ``low``, ``high``, ``fraction``, ``why``,
            ``fix`` and ``remedy``, and ``exact``: whether its ``outputs.npz`` is what a simulation
            must give to the bit; see `edgeflow.backends.hls4ml.examine_job`. An overflow makes
            the artifact not verified.
        ``ahead(request, compiled) -> Job | None``: a further compiler; its job's result is in
            `estimate`'s ``result["ahead"]``.
        ``limits() -> list[Limit]``: what it takes, made from the tables that `check` walks.
        ``remarks(network, target, options) -> list[str]``: what `edgeflow check` says beside the
            problems: what works, and not as one may expect.
        ``warnings(network, target, options, result, estimates) -> list[str]``: what the report
            says of what was compiled (``result`` is the compile job's), by its estimates.
        ``check_tools(name, target, options) -> None``: whether the vendor's tools are there,
            before any work of a run with ``--synthesise``; raises ToolError. ``name`` is the
            request's.
        ``tables(compiled, result) -> list[Table]``: what the report shows of the compile job's
            folder and result (``ahead`` and ``synthesis`` among it) beside the estimates.
        ``synthesise(request, compiled, run, asked) -> Synthesis | None``: run the tools behind it
            with ``run`` (a `Run`), one job after the other. ``asked``: whether the user wants a
            vendor's tools to run (``--synthesise``). A JobError or ToolchainError that it raises
            becomes a note; an UnsupportedError (it does not fit) ends the run.
    """

    name: str
    description: str

    def options(self, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check the recipe's options and fill in the defaults.

        Raises:
            RecipeError: an unknown option or a wrong value; `where` is its place in the recipe.
        """
        ...

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the options, for editors and the reference."""
        ...

    def check(self, network: Network, target: Target, options: Mapping[str, Any]) -> list[Problem]:
        """Everything that stands in the way; an empty list where nothing does."""
        ...

    def compile(self, request: Request) -> Job:
        """The job whose output folder is the compiled artifact."""
        ...

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """The ways to run the artifact on the golden inputs (`request.golden`)."""
        ...

    def estimate(
        self,
        network: Network,
        target: Target,
        options: Mapping[str, Any],
        compiled: Path | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> dict[str, Estimate]:
        """What it costs, by quantity; from the Network alone, or better with the artifact.

        ``compiled`` is the artifact's folder and ``result`` its compile job's result.
        Common names: ``macs`` (MAC), ``parameters`` (1), ``weight_memory`` (B),
        ``activation_memory`` (B), ``model_size`` (B), ``latency`` (s), ``power`` (W, board),
        ``chip_power`` (W), ``energy_per_inference`` (J, board), ``chip_energy_per_inference`` (J);
        an FPGA adds ``lut``, ``ff``, ``dsp``, ``bram_18k``, ``latency_cycles``, ``ii``.
        """
        ...

    def artifacts(self, compiled: Path) -> Mapping[str, Path]:
        """The files or folders that the user wants, by kind (``tflite``, ``hls_project``, …)."""
        ...
