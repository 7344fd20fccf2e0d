"""The library: the commands as functions. ``import edgeflow`` offers them.

>>> import edgeflow
>>> report = edgeflow.run("models/digits/digits.yaml", "runs/digits")
>>> report["targets"]["pynq-z2"]["verified"]
True
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import EdgeflowError, UnsupportedError
from edgeflow.jobs import Runner

if TYPE_CHECKING:
    from edgeflow.backends.base import Problem
    from edgeflow.network import Network

__all__ = [
    "EdgeflowError", "check", "compile", "deploy", "estimate", "inspect", "read_synthesis", "run",
]  # fmt: skip

File = str | PathLike[str]


def run(
    recipe: File,
    output: File,
    *,
    runner: Runner | None = None,
    synthesise: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Do a whole recipe; returns the report, as in ``OUTPUT/report.json``.

    Args:
        recipe: the YAML file.
        output: folder for report and artifacts.
        runner: where jobs run; default one of its own with the user's store, and no progress.
        synthesise: run the vendor's HLS tool, which must be on PATH.
        force: replace projects that were edited; they are kept as ``NAME.old-N``.

    Raises:
        EdgeflowError: bad input, a failed job.
    """
    from edgeflow import pipeline
    from edgeflow import recipe as recipes

    plan, lines = recipes.load(Path(recipe))
    with _runner(runner) as chosen:
        return pipeline.run(
            plan,
            Path(output),
            chosen,
            where=lines.where,
            recipe_file=Path(recipe).name,
            synthesise=synthesise,
            force=force,
        )


def inspect(*model: File, runner: Runner | None = None) -> Network:
    """The Network of a model file (and its weights' file), a Network JSON, or an hls4ml project.

    Raises:
        ModelError: it cannot be read, or holds what is refused.
    """
    from edgeflow import subject

    return subject.read([Path(path) for path in model], lambda: _runner(runner)).network


def check(
    network: Network,
    target: str,
    *,
    backend: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Problem]:
    """Everything that hinders the Network on the target; empty where nothing does."""
    from edgeflow import targets
    from edgeflow.backends import registry

    aim = targets.load(target)
    compiler = registry.choose(aim, backend)
    return compiler.check(network, aim, compiler.options(dict(options or {}), "options"))


def compile(
    model: File | Sequence[File],
    targets: str | Sequence[str],
    output: File,
    *,
    data: File | None = None,
    backend: str | None = None,
    options: Mapping[str, Any] | None = None,
    inputs: int = 1000,
    runner: Runner | None = None,
    synthesise: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Compile a model as it is, verify and report; returns the report.

    Args:
        model: its file, or architecture and weights.
        targets: one or several names.
        output: folder for report and artifacts.
        data: dataset (.npz), for calibration, real golden inputs and accuracy.
        backend: its name; default each target's first.
        options: the backend's options.
        inputs: golden vectors to verify with.
        runner, synthesise, force: as in `run`.
    """
    from edgeflow import pipeline
    from edgeflow.recipe import from_files

    files = [model] if isinstance(model, (str, PathLike)) else list(model)
    plan = from_files(
        [Path(file) for file in files],
        [targets] if isinstance(targets, str) else list(targets),
        data=Path(data) if data is not None else None,
        backend=backend,
        options=options,
        inputs=inputs,
    )
    folder = Path(output)
    with _runner(runner) as chosen:
        return pipeline.run(
            plan,
            folder,
            chosen,
            projects=folder / "hls_projects",
            synthesise=synthesise,
            force=force,
        )


def estimate(
    what: Network | File | Sequence[File],
    targets: str | Sequence[str],
    *,
    backend: str | None = None,
    options: Mapping[str, Any] | None = None,
    clock_mhz: float | None = None,
    runtime: str | None = None,
    settings: Mapping[str, Any] | None = None,
    calibration: File | None = None,
    runner: Runner | None = None,
) -> dict[str, dict[str, Any]]:
    """What a model would cost on each target, in the form of the report's ``targets``.

    Args:
        what: a Network, as `inspect` gives it; or the file of a model, of a Network JSON, of an
            hls4ml configuration, or an hls4ml project's folder.
        targets: one or several names, paths of target files, or descriptions in braces.
        backend: its name; default each target's first.
        options: the backend's options.
        clock_mhz, runtime, settings: what-ifs: another clock (MHz), runtime (``tflm``,
            ``tflm-cmsis-nn``, ``x-cube-ai``, ``microtvm``, ``edgeflow``), and figures, settings or
            backend options by name (``{"ram": 262144, "reuse_factor": 8}``).
        calibration: of `edgeflow calibrate`; default the user's own, ``none`` for none.
        runner: as in `run`, for a model's file.

    Returns:
        by target: ``estimates`` (quantity to ``value``, ``low``, ``high``, ``unit``, ``method``,
        ``source``, and ``reason`` where ``value`` is None), ``problems``, ``notes``, ``backend``,
        ``title``.

    Raises:
        UnsupportedError: no target was named.
        InputError: an unknown target, setting or runtime; a clock that cannot be.
    """
    from edgeflow import subject
    from edgeflow.estimating import estimate_targets
    from edgeflow.network import Network

    names = [targets] if isinstance(targets, str) else list(targets)
    if not names:
        raise UnsupportedError("expected at least one target")

    def read() -> Network | subject.Subject:
        if isinstance(what, Network):
            return what
        files = [what] if isinstance(what, (str, PathLike)) else list(what)
        return subject.read([Path(file) for file in files], lambda: _runner(runner))

    return estimate_targets(
        read,
        names,
        backend=backend,
        options=options,
        clock_mhz=clock_mhz,
        runtime=runtime,
        settings=settings,
        calibration=Path(calibration) if calibration is not None else None,
    )


def deploy(folder: File, target: str, host: str, **settings: Any) -> dict[str, Any]:
    """Take a run's TFLite artifact to a board over SSH, run it there, compare, measure.

    Args:
        folder: of a run, with its ``report.json``.
        target: which of its targets.
        host: ``USER@HOST`` or ``USER@HOST:PORT``.
        settings: ``identity``, ``known_hosts``, ``python``: see `edgeflow.deploy.ssh.deploy`.
    """
    from edgeflow.deploy.ssh import deploy as deploy_over_ssh

    return deploy_over_ssh(Path(folder), target, host, **settings)


def read_synthesis(
    reports: File, report: File | None = None, *, target: str | None = None
) -> dict[str, Any]:
    """Read a vendor's reports, made elsewhere, into a run's report, which is written anew.

    Args:
        reports: folder of a synthesised project, or of its reports.
        report: folder of a run; None to look for one beside `reports`.
        target: which of its targets; None for the one that it must be.

    Returns:
        what the vendor's reports say, as ``vendor_synthesis`` in the report.

    Raises:
        InputError: no or damaged reports, or those of another design.
    """
    from edgeflow.report.from_synthesis import read_back

    return read_back(Path(reports), Path(report) if report is not None else None, target).synthesis


@contextlib.contextmanager
def _runner(given: Runner | None) -> Iterator[Runner]:
    if given is not None:
        yield given
        return
    with Runner() as made:
        yield made
