"""Plan, execute, report: the only place that knows the order of the stages."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeflow import __version__, corrections, record, targets, verify, verifying
from edgeflow.artifacts import refuse_foreign
from edgeflow.backends import registry
from edgeflow.backends.base import Backend, Problem, Request, Synthesis
from edgeflow.compress import methods
from edgeflow.errors import (
    DataError,
    EdgeflowError,
    Interrupted,
    JobError,
    RecipeError,
    ToolchainError,
    UnsupportedError,
)
from edgeflow.frontends import loader, reference
from edgeflow.frontends.model import Model
from edgeflow.jobs import Finished, Job, Runner, interruption
from edgeflow.network import Network
from edgeflow.placing import Placing, earlier_targets
from edgeflow.recipe import CompressSpec, DataSpec, Recipe, TargetSpec
from edgeflow.record import Dataset
from edgeflow.targets import Target


@dataclass(frozen=True)
class Aim:
    """One entry of the recipe's targets, with all that its words mean looked up and checked."""

    name: str
    target: Target
    backend: Backend
    options: Mapping[str, Any]
    method: str
    compress: Mapping[str, Any]
    project: Path | None


@dataclass(frozen=True)
class Outcome:
    """What came of one target: its part of the report, and the folders in the store."""

    entry: Mapping[str, Any]
    artifacts: Mapping[str, Path]
    golden: Path
    simulated: Sequence[Finished]


@dataclass
class Session:
    """What the stages of one run share."""

    recipe: Recipe
    runner: Runner
    placing: Placing
    synthesise: bool = False
    stages: list[Finished] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def do(self, job: Job, label: str = "") -> Finished:
        """Run a job and remember it for the report."""
        if self.stopped.is_set():
            raise Interrupted("another target failed")
        finished = self.runner.run(replace(job, label=label))
        self.stages.append(finished)
        return finished


def aims(recipe: Recipe, where: Callable[..., str] = lambda *_: "recipe") -> list[Aim]:
    """Look up every target, backend, option and method that the recipe names.

    Raises:
        RecipeError: naming all that is wrong at once.
    """
    found: list[Aim] = []
    faults: list[EdgeflowError] = []
    for name, spec in recipe.targets.items():
        try:
            found.append(_aim(name, spec, recipe, where))
        except EdgeflowError as error:
            faults.append(error)
    faults += _shared_projects(found, where)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise RecipeError(
            "the recipe's targets cannot be used", details=[str(fault) for fault in faults]
        )
    return found


def _shared_projects(found: Iterable[Aim], where: Callable[..., str]) -> Iterator[RecipeError]:
    """Two projects in one folder: the later would replace the earlier."""
    places: dict[Path, str] = {}
    for aim in found:
        if aim.project is not None:
            first = places.setdefault(aim.project.resolve(), aim.name)
            if first != aim.name:
                yield RecipeError(
                    f"'project' of '{aim.name}' is that of '{first}' too",
                    where=where(("targets", aim.name, "project")),
                    remedy="give each its own folder",
                )


def _aim(name: str, spec: TargetSpec, recipe: Recipe, where: Callable[..., str]) -> Aim:
    place_of = where(("targets", name))
    try:
        target = targets.load(spec.target or name)
    except EdgeflowError as error:
        error.where = place_of
        raise
    backend = registry.choose(target, spec.backend, place_of)
    options = backend.options(spec.options, where(("targets", name, "options")))
    compress = spec.compress or recipe.compress or CompressSpec(method="none")
    place_of = where(("targets", name, "compress") if spec.compress else ("compress",))
    given = methods.options(compress.method, compress.given, place_of)
    if compress.method != "none" and recipe.data is None:
        raise RecipeError(
            f"retraining ({compress.method}) needs data",
            where=place_of,
            remedy="add 'data' to the recipe, or 'compress: {method: none}' to the target",
        )
    if spec.project is not None:
        refuse_foreign(spec.project)
    return Aim(name, target, backend, options, compress.method, given, spec.project)


def run(
    recipe: Recipe,
    output: Path,
    runner: Runner,
    *,
    where: Callable[..., str] = lambda *_: "recipe",
    projects: Path = Path("hls_projects"),
    recipe_file: str | None = None,
    synthesise: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Do what the recipe says and write the report into `output`.

    Args:
        recipe: what to do.
        output: folder for the report and the artifacts; made if need be.
        runner: where the jobs run.
        where: gives file and line of a place in the recipe, for errors.
        projects: the folder for HLS projects that the recipe gives no place.
        recipe_file: its name, for the report.
        synthesise: run the vendor's tool on HLS projects.
        force: replace projects that were edited; they are kept as ``NAME.old-N``.

    Returns:
        the report, as in ``report.json``.

    Raises:
        EdgeflowError: bad input (before any training), a failed job.
    """
    from edgeflow.report.write import prepare, write

    wanted = aims(recipe, where)
    placing = Placing(output, projects, force)
    placing.check(placing.project(recipe.name, aim.name, aim.project) for aim in wanted)
    if synthesise:
        _check_tools(recipe, wanted)
    new = not output.exists()
    prepare(output)
    session = Session(recipe, runner, placing, synthesise)
    with ThreadPoolExecutor(max_workers=len(wanted) + 1) as pool:
        try:
            return _run(session, wanted, pool, recipe_file, write)
        except BaseException as error:
            session.stopped.set()
            runner.cancel()
            pool.shutdown(cancel_futures=True)
            logs = list(runner.interrupted)
            runner.restore()
            if new:
                placing.undo()  # nothing half-written
            if isinstance(error, KeyboardInterrupt):
                raise interruption(logs) from None
            raise


def _run(
    session: Session,
    wanted: Sequence[Aim],
    pool: ThreadPoolExecutor,
    recipe_file: str | None,
    write: Callable[[dict[str, Any], Path], None],
) -> dict[str, Any]:
    recipe = session.recipe
    data = load_data(recipe.data, session) if recipe.data else None
    model = load_model(recipe, data, session, wanted)
    _check_data(model.network, data, recipe)
    _check_all(model.network, wanted)
    if data is None:
        _check_calibration(model.network, wanted)
    x = _choose_inputs(session, model, data)
    base = pool.submit(session.do, reference.reference_job(model, x))
    results = _gather(
        {aim.name: pool.submit(_aim_run, session, aim, model, data, x) for aim in wanted}
    )
    reference_folder = base.result().path
    report: dict[str, Any] = {
        "schema": "edgeflow.report/1",
        "edgeflow": __version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "name": recipe.name,
        "recipe": recipe_file,
        "model": record.describe(model),
        "data": record.describe_data(recipe.data, data),
        "metric": verify.METRICS[data.about["task"]] if data else None,
        "accuracy": record.accuracy(reference_folder / "golden.npz", data),
        "history": {"float": model.history} if model.history else {},
        "stages": [record.stage(finished) for finished in session.stages],
        "targets": {},
    }
    with session.runner.store.lock("placing"):
        placing = session.placing
        report["earlier_targets"] = earlier_targets(placing.output, results)
        for aim in wanted:
            outcome = results[aim.name]
            notes = list(outcome.entry["notes"])
            report["targets"][aim.name] = {
                **outcome.entry,
                "accuracy_float": report["accuracy"],
                "artifacts": placing.place(
                    outcome.artifacts,
                    aim.name,
                    placing.project(recipe.name, aim.name, aim.project),
                    outcome.golden,
                    outcome.simulated,
                    notes.append,
                ),
                "notes": notes,
            }
        write(report, placing.output)
    return report


def _gather(futures: Mapping[str, Future[Outcome]]) -> dict[str, Outcome]:
    """The results; the first failure ends the wait, and is raised."""
    done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
    for future in done:
        future.result()
    return {name: future.result() for name, future in futures.items()}


def load_data(spec: DataSpec, session: Session) -> Dataset:
    """Make the dataset's folder."""
    params = spec.model_dump(exclude={"file"}, exclude_none=True) | {"seed": session.recipe.seed}
    inputs = {"file": spec.file} if spec.file else {}
    title = f"read the data ({spec.source or (spec.file.name if spec.file else '')})"
    finished = session.do(Job("edgeflow.data_job:load", "keras", title, inputs, params))
    return Dataset(finished.path, finished.result)


def load_model(
    recipe: Recipe, data: Dataset | None, session: Session, wanted: Sequence[Aim]
) -> Model:
    """Read the model file, or train the recipe's layers."""
    spec = recipe.model
    if spec.file is not None:
        return loader.load([path for path in (spec.file, spec.weights) if path], session.runner)
    if data is None:
        raise RecipeError("training a model from 'layers' needs 'data'")
    params = spec.train.model_dump() | {"layers": spec.layers, "seed": recipe.seed}
    job = methods.train_job(data.folder, params, "train the model")
    if not session.runner.knows(job):
        for home in {methods.home(aim.method) for aim in wanted}:
            if home is not None:
                session.runner.warm(*home)  # while the model trains
    return Model(session.do(job).path)


def _check_data(network: Network, data: Dataset | None, recipe: Recipe) -> None:
    if data is None:
        return
    from edgeflow.data_job import check_fit

    try:
        check_fit(
            dict(data.about),
            network[network.inputs[0]].output_shape,
            network[network.outputs[0]].output_shape,
        )
    except DataError as error:
        error.where = error.where or str(recipe.data and (recipe.data.file or recipe.data.source))
        raise


def _check_all(network: Network, wanted: Iterable[Aim]) -> None:
    """Say what cannot work for every target, before hours of training."""
    found: list[str] = []
    for aim in wanted:
        later = methods.expected(network, aim.method, aim.compress)
        problems: list[Problem] = aim.backend.check(later, aim.target, aim.options)
        found += [f"{aim.name} ({aim.backend.name}): {problem}" for problem in problems]
    if found:
        raise UnsupportedError("the model cannot be compiled as it is", details=found)


def _check_tools(recipe: Recipe, wanted: Iterable[Aim]) -> None:
    """Say which vendors' tools are missing, before any work."""
    for aim in wanted:
        if hasattr(aim.backend, "check_tools"):
            aim.backend.check_tools(f"{recipe.name}-{aim.name}", aim.target, aim.options)


def _check_calibration(network: Network, wanted: Iterable[Aim]) -> None:
    """Say which targets need data, where there are none.

    Raises:
        DataError: naming them all.
    """
    able: list[Any] = [aim for aim in wanted if hasattr(aim.backend, "needs_data")]
    needy = [a.name for a in able if a.backend.needs_data(network, a.target, a.options)]
    if needy:
        raise DataError(
            f"{', '.join(needy)}: integer types need data to measure the model's ranges",
            remedy="give a dataset (`data` in the recipe, --data on the command line), or "
            "a float precision where the backend has one (float32, float16, dynamic)",
        )


def _choose_inputs(session: Session, model: Model, data: Dataset | None) -> Path:
    """The golden inputs, the same for every target: an ``.npz`` with ``x``."""
    recipe = session.recipe
    inputs = {"network": model.path / "network.json"} | ({"data": data.folder} if data else {})
    params = {"count": recipe.verify_inputs, "seed": recipe.seed}
    job = Job("edgeflow.golden_job:choose", "keras", "choose golden inputs", inputs, params)
    return session.do(job).path / "x.npz"


def _aim_run(session: Session, aim: Aim, model: Model, data: Dataset | None, x: Path) -> Outcome:
    """Everything for one target, but for writing to the user's folders."""
    retrained = model
    if aim.method != "none":
        assert data is not None
        params = {"seed": session.recipe.seed, **aim.compress}
        title = f"retrain ({aim.method})"
        job = methods.job(aim.method, model, data.folder, params, title)
        retrained = Model(session.do(job, aim.name).path)
        _check_all(retrained.network, [aim])
    golden = session.do(reference.reference_job(retrained, x), aim.name).path
    request = Request(
        model=retrained,
        target=aim.target,
        options=aim.options,
        golden=golden,
        data=data.folder if data else None,
        name=f"{session.recipe.name}-{aim.name}",
    )

    def do(job: Job) -> Finished:
        return session.do(job, aim.name)

    request, tuned = verifying.tune(aim.backend, request, do)
    if hasattr(aim.backend, "base"):
        request = replace(request, base=do(aim.backend.base(request)).path)
    compiled = do(aim.backend.compile(request))
    result = dict(compiled.result)
    notes = [str(note) for note in result.get("notes", ())]
    given, (request, rounding) = request, verifying.on_grid(request, result, do, data)
    synthesis = _further(session, aim, request, compiled, result, notes)
    simulations = [*aim.backend.simulate(request, compiled.path), *synthesis.simulations]
    examine = verifying.examine_job(aim.backend, given, request)
    verified = verifying.simulate(request, simulations, do, data, examine, rounding)
    notes.extend(verified.notes)
    network = retrained.network
    estimates = aim.backend.estimate(network, aim.target, request.options, compiled.path, result)
    estimates = corrections.apply(estimates, aim.target, network.totals.macs)
    if hasattr(aim.backend, "warnings"):
        notes += aim.backend.warnings(network, aim.target, request.options, result, estimates)
    entry = {
        "backend": aim.backend.name,
        "target": aim.target.name,
        "title": aim.target.title,
        "options": dict(aim.options),
        **verified.entry,
        "accuracy_retrained": (
            record.accuracy(golden / "golden.npz", data) if retrained is not model else None
        ),
        "precision": dict(tuned.result) if tuned else None,
        "compress": {"method": aim.method, **aim.compress} if aim.method != "none" else None,
        "history": retrained.history if retrained is not model else {},
        "layers": record.layer_rows(network),
        "estimates": record.estimates(network, aim.target, estimates),
        "vendor_synthesis": synthesis.report,
        "tables": record.tables(aim.backend, compiled.path, result),
        "notes": notes,
        "error": None,
    }
    artifacts = {**aim.backend.artifacts(compiled.path), **synthesis.artifacts}
    if tuned:
        artifacts["precision"] = tuned.path / "precision.yaml"
    return Outcome(entry, artifacts, golden, verified.outcomes)


def _further(
    session: Session,
    aim: Aim,
    request: Request,
    compiled: Finished,
    result: dict[str, Any],
    notes: list[str],
) -> Synthesis:
    """Run the backend's optional compilers; one that cannot be had is a note, no failure."""
    backend: Any = aim.backend
    synthesis = Synthesis({})

    def run(job: Job) -> Finished:
        return session.do(job, aim.name)

    def ahead() -> None:
        job = backend.ahead(request, compiled.path)
        if job is not None:
            finished = run(job)
            result["ahead"] = dict(finished.result) | {"folder": str(finished.path)}
            notes.extend(finished.result.get("notes", ()))

    def synthesise() -> None:
        nonlocal synthesis
        made = backend.synthesise(request, compiled.path, run, session.synthesise)
        if made is not None:
            synthesis = made
            result["synthesis"] = dict(made.result)
            notes.extend(made.notes)

    for name, do in (("ahead", ahead), ("synthesise", synthesise)):
        if not hasattr(backend, name):
            continue
        try:
            do()
        except (ToolchainError, JobError) as error:
            key = {"ahead": "ahead", "synthesise": "synthesis"}[name]
            result[f"{key}_reason"] = error.message
            notes.append(f"{key}: {error.message}")
    return synthesis
