"""Jobs: pure functions from files and parameters to a folder, run in a toolchain.

A job is named by its entry point, ``"edgeflow.backends.hls4ml.job:convert"``, a function

    def convert(inputs: dict[str, Path], params: dict[str, Any], output: Path, progress) -> dict

that reads `inputs`, fills the folder `output` and returns a small JSON result. `progress(done,
total, text)` reports how far it is; what it prints goes into the job's log. It may raise an
`EdgeflowError`, which reaches the user as it is.

The key of a job is the hash of its entry point, the code behind that, the toolchain's lock, its
inputs' contents and its parameters: the same job is never run twice.

Each toolchain has one server process (`edgeflow/jobserver.py`), which imports the heavy modules
once and forks for each job: a crash stays in the fork, and the import is paid once.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeflow import toolchains
from edgeflow.errors import EdgeflowError, Interrupted, JobError, StoreError, from_json
from edgeflow.jobclient import Server
from edgeflow.store import ELSEWHERE, MANIFEST, Store, hash_json, hash_path

PACKAGE = Path(__file__).parent
LOG = "the job's log"
"""A remedy that names it is told where it is kept."""


@dataclass(frozen=True)
class Job:
    """What to run. `imports` are the heavy modules that its server should have loaded.

    `inputs` name files or folders, `params` is JSON, `timeout` is in seconds, `title` is what the
    user sees. `label` tells apart jobs of one title (a target's name); neither is in the key.
    `limits` are further parameters that bound the work and do not change what it makes (time,
    memory): another limit does not do finished work again.
    """

    entry: str
    toolchain: str
    title: str
    inputs: Mapping[str, Path] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    timeout: float = 3600
    label: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """A job's outcome: its output folder, its result, and whether the store already had it."""

    job: Job
    key: str
    path: Path
    result: Mapping[str, Any]
    seconds: float
    cached: bool


@dataclass(frozen=True)
class Event:
    """Something to show; `state`: ``waiting``, ``running``, ``done``, ``cached``, ``failed``."""

    job: Job | None
    state: str
    done: float = 0
    total: float = 0
    text: str = ""


def ignore(_: Event) -> None:
    """A listener that shows nothing."""


class Runner:
    """Runs jobs: at most `workers` at a time, each once, from any thread.

    Use it as a context manager; leaving it ends the toolchains' servers.
    """

    def __init__(
        self,
        store: Store | None = None,
        listener: Callable[[Event], None] = ignore,
        workers: int | None = None,
    ) -> None:
        self.store = store or Store.default()
        self.listener = listener
        self.history: list[Finished] = []
        self.interrupted: list[Path] = []
        """Logs of the jobs that were ended by Ctrl-C or `cancel`."""
        self._slots = threading.BoundedSemaphore(workers or os.cpu_count() or 1)
        self._servers: dict[str, Server] = {}
        self._guard = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        self._cancelled = threading.Event()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, job: Job) -> Finished:
        """Run the job, or take its outcome from the store.

        Raises:
            EdgeflowError: what the job raised on purpose.
            JobError: it crashed or ran past its time limit; names the log.
            ToolchainError: its toolchain could not be made.
            StoreError: the store cannot be written.
            Interrupted: `cancel` was called.
        """
        key = job_key(job, self.store)
        finished = self._from_store(job, key)
        if finished is None:
            with self.store.lock(
                key,
                waiting=lambda: self.listener(Event(job, "waiting", text="already under way")),
            ):
                finished = self._from_store(job, key) or self._execute(job, key)
        with self._guard:
            self.history.append(finished)
        return finished

    def knows(self, job: Job) -> bool:
        """Whether the store has the job's outcome."""
        return self.store.get(job_key(job, self.store)) is not None

    def warm(self, toolchain: str, imports: Sequence[str]) -> None:
        """Start a toolchain's server in the background, before the job that will need it.

        What hinders it is left to that job to report.
        """

        def start() -> None:
            with contextlib.suppress(EdgeflowError):
                self._server(toolchain).warm(imports)

        threading.Thread(target=start, daemon=True).start()

    def cancel(self) -> None:
        """End every running job; `run` then raises `Interrupted` in each thread."""
        self._cancelled.set()
        self._end_servers()

    def restore(self) -> None:
        """Take jobs again after `cancel`, once the threads that it ended are gone."""
        self._servers.clear()
        self._cancelled.clear()
        self.interrupted.clear()

    def close(self) -> None:
        """End the servers."""
        self._end_servers()
        self._servers.clear()

    def _end_servers(self) -> None:
        servers = list(self._servers.values())
        for server in servers:
            server.hang_up()
        for server in servers:
            server.close()

    def _from_store(self, job: Job, key: str) -> Finished | None:
        path = self.store.get(key)
        if path is None:
            return None
        manifest = self.store.manifest(key)
        self.listener(Event(job, "cached"))
        return Finished(
            job, key, path / "output", manifest["result"], manifest["seconds"], cached=True
        )

    def _execute(self, job: Job, key: str) -> Finished:
        self._stop_if_cancelled()
        server = self._server(job.toolchain)
        with self._slots, self.store.writing(key) as folder:
            self._stop_if_cancelled()
            self.listener(Event(job, "running"))
            started = time.monotonic()
            try:
                result = self._attempt(job, key, folder, server)
            except BaseException as error:
                self.listener(Event(job, "failed"))
                if self._cancelled.is_set() or isinstance(error, KeyboardInterrupt):
                    self.interrupted.append(self.store.keep_log(key, folder / "log.txt"))
                    raise interruption(self.interrupted[-1:]) from None
                raise
            seconds = time.monotonic() - started
            manifest = {
                "entry": job.entry,
                "toolchain": job.toolchain,
                "title": job.title,
                "params": dict(job.params),
                "inputs": {name: path.name for name, path in job.inputs.items()},
                "result": result,
                "seconds": round(seconds, 3),
                "sha256": hash_path(folder / "output"),
            }
            with _disk(folder):
                (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        self.listener(Event(job, "done"))
        return Finished(job, key, self.store.path(key) / "output", result, seconds, cached=False)

    def _attempt(self, job: Job, key: str, folder: Path, server: Server) -> dict[str, Any]:
        log = folder / "log.txt"
        with _disk(folder):
            (folder / "output").mkdir()
            (folder / "scratch").mkdir()
            log.touch()
        request = {
            "entry": job.entry,
            "imports": list(job.imports),
            "inputs": {name: str(path.absolute()) for name, path in job.inputs.items()},
            "params": {**job.params, **job.limits},
            "folder": str(folder),
            "package": _package(job.entry),
        }
        with _disk(folder):
            (folder / "request.json").write_text(json.dumps(request))
        failure = server.run(
            folder,
            job.timeout,
            lambda *step: self.listener(Event(job, "running", *step)),
        )
        self._stop_if_cancelled()
        outcome = _read_json(folder / "outcome.json")
        if outcome is not None and "error" in outcome and failure in (None, "exit code 1"):
            error = from_json(outcome["error"])
            if LOG in (error.remedy or ""):
                where = f"{LOG} ({self.store.keep_log(key, log)})"
                error.remedy = str(error.remedy).replace(LOG, where)
            if isinstance(error, JobError):
                error.remedy = error.remedy or f"read the log: {self.store.keep_log(key, log)}"
            raise error
        if failure or outcome is None:
            if failure and failure.startswith("exit code 75"):
                raise StoreError(
                    "the disk is full", where=str(folder), remedy="free some space on it"
                )
            with log.open("a") as handle:
                handle.write(server.tail())
            raise JobError(
                f"the job '{job.title}' ({job.entry}) ended early: {failure or 'no outcome'}",
                remedy=f"read the log: {self.store.keep_log(key, log)}",
            )
        for name in ("request.json", "outcome.json"):
            (folder / name).unlink()
        result: dict[str, Any] = outcome["result"]
        return result

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise interruption()

    def _server(self, name: str) -> Server:
        with self._guard:
            making = self._making.setdefault(name, threading.Lock())
        with making:
            server = self._servers.get(name)
            if server is None or not server.alive:
                chain = toolchains.get(name)
                python = toolchains.ensure(
                    chain, lambda text: self.listener(Event(None, "running", text=text))
                )
                server = self._servers[name] = Server(python, chain.environment)
            return server


def interruption(logs: Sequence[Path] = ()) -> Interrupted:
    """The error after Ctrl-C, with the logs of the jobs that it ended."""
    return Interrupted(
        "interrupted; what was finished is kept",
        details=[f"log of a job that was ended: {log}" for log in logs],
        remedy="run the same command again: it resumes",
    )


def job_key(job: Job, store: Store) -> str:
    """The hash that names the job's outcome, in hexadecimal.

    Raises:
        StoreError: an input cannot be read.
    """
    try:
        inputs = {name: _input_hash(path, store) for name, path in job.inputs.items()}
    except OSError as error:
        raise StoreError(
            f"cannot read an input of '{job.title}': {error.strerror}", where=str(error.filename)
        ) from None
    return hash_json(
        {
            "entry": job.entry,
            "code": code_version(job.entry.partition(":")[0]),
            "toolchain": toolchains.get(job.toolchain).version,
            "inputs": inputs,
            "params": dict(job.params),
        }
    )


def _input_hash(path: Path, store: Store) -> str:
    """A stored folder was hashed when it was finished; anything else is hashed now."""
    with contextlib.suppress(ValueError):
        _, key, *rest = path.absolute().relative_to(store.root / "done").parts
        if store.get(key):
            return f"{store.manifest(key)['sha256']}/{'/'.join(rest)}"
    return hash_path(path)


@lru_cache(maxsize=512)
def code_version(module: str) -> str:
    """Hash of a module's source, of all that it imports from this package, and of the files that
    lie beside them for them to read (C sources, tables)."""
    seen: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        path = _source(name)
        if path is None:
            continue
        text = path.read_text()
        seen[name] = hash_json(text)
        seen |= {f.relative_to(PACKAGE).as_posix(): hash_path(f) for f in _beside(path.parent)}
        todo += _imports(text, name)
    return hash_json(seen)


@lru_cache(maxsize=512)
def _beside(folder: Path) -> tuple[Path, ...]:
    """The files of a package's folder, and of its folders that are no packages, but for Python."""
    if PACKAGE not in folder.parents:
        return ()
    folders = [folder, *(d for d in folder.iterdir() if d.is_dir() and d.name != "__pycache__")]
    return tuple(
        file
        for place in folders
        if place == folder or not (place / "__init__.py").is_file()
        for file in sorted(place.iterdir())
        if file.is_file() and file.suffix not in (".py", ".pyc")
    )


def _package(entry: str) -> tuple[str, str]:
    """The top-level package of an entry point and its file, which the server makes importable.

    Raises:
        JobError: there is no such package.
    """
    root = entry.partition(":")[0].partition(".")[0]
    if root == PACKAGE.name:
        return root, str(PACKAGE / "__init__.py")
    spec = importlib.util.find_spec(root)
    if spec is None or spec.origin is None:
        raise JobError(f"there is no package '{root}' for the job '{entry}'")
    return root, spec.origin


def _source(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        spec = importlib.util.find_spec(module)  # a third party's backend
        return Path(spec.origin) if spec and spec.origin else None
    stem = PACKAGE.joinpath(*parts[1:])
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(text: str, module: str) -> Iterator[str]:
    root = module.partition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] == root)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == root:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError.of(error, "the store", folder, ELSEWHERE) from None


__all__ = ["EdgeflowError", "Event", "Finished", "Job", "Runner", "code_version", "job_key"]
