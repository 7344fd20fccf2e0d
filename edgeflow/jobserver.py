"""The server of one toolchain: imports heavy modules once, forks for each job.

`edgeflow.jobs` starts it with the toolchain's interpreter, as a file: the core's own packages must
not be visible here, only edgeflow's modules that use the standard library. It reads the name of a
job's folder per line on standard input (or a JSON list of modules to import before they are
needed), and writes events as JSON lines on standard output:
``{"job": FOLDER, "pid": …}``, ``{"job", "progress": [done, total, text]}``, ``{"job", "exit"}``.
When standard input closes (its parent ended, however), it kills its jobs and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import importlib.util
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
DISK_FULL = 75


def main() -> None:
    """Serve until standard input closes."""
    events = os.dup(1)
    os.dup2(2, 1)  # what modules print on import is no event
    root = Path(__file__).resolve().parent
    _load_package(root.name, root / "__init__.py")
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    running: dict[int, tuple[int, str]] = {}  # process descriptor -> process, job
    pending = b""
    while True:
        for ready, _ in selector.select():
            if ready.fd == 0:
                chunk = os.read(0, 65536)
                if not chunk:
                    for process, _job in running.values():
                        with contextlib.suppress(ProcessLookupError):
                            os.killpg(process, signal.SIGKILL)
                    os._exit(0)  # taking the heavy modules down would take a second
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    job = line.decode()
                    if job.startswith("["):
                        _import(json.loads(job))
                        continue
                    process = _start(job, events)
                    descriptor = os.pidfd_open(process)
                    running[descriptor] = (process, job)
                    selector.register(descriptor, selectors.EVENT_READ)
                    _emit(events, {"job": job, "pid": process})
            else:
                process, job = running.pop(ready.fd)
                selector.unregister(ready.fd)
                os.close(ready.fd)
                _, status = os.waitpid(process, 0)
                _emit(events, {"job": job, "exit": os.waitstatus_to_exitcode(status)})


def _load_package(name: str, file: Path) -> None:
    """Make one package or module importable, and nothing that lies beside it."""
    search = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=search)
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


def _emit(descriptor: int, message: dict[str, object]) -> None:
    # One write of a line below PIPE_BUF is atomic, so the forks can share the pipe.
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, (json.dumps(message) + "\n").encode()[:4096])


def _import(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(Exception):  # the fork imports it again and reports why it fails
            importlib.import_module(name)


def _start(job: str, events: int) -> int:
    """Import what the job wants imported, then fork; returns the new process."""
    request = json.loads(Path(job, "request.json").read_text())
    _import(request["imports"])
    parent = os.getpid()
    process = os.fork()
    if process:
        with contextlib.suppress(OSError):
            os.setpgid(process, process)
        return process
    status = 1
    try:
        status = _job_main(Path(job), request, events, parent)
    finally:
        os._exit(status)


def _job_main(folder: Path, request: dict[str, object], events: int, parent: int) -> int:
    """The fork's whole life; returns its exit code."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    scratch = folder / "scratch"
    os.environ["TMPDIR"] = str(scratch)
    tempfile.tempdir = str(scratch)
    os.chdir(scratch)

    def progress(done: float, total: float = 0, text: str = "") -> None:
        _emit(events, {"job": str(folder), "progress": [done, total, text[:200]]})

    try:
        outcome = {"result": _call(folder, request, progress) or {}}
        status = 0
    except BaseException as error:  # noqa: BLE001 - every failure becomes an outcome
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return DISK_FULL
        outcome = {"error": _describe(error)}
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        (folder / "outcome.json").write_text(json.dumps(outcome))
        os.chdir(folder)
        shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        return DISK_FULL if error.errno == errno.ENOSPC else 1
    return status


def _call(folder: Path, request: dict[str, object], progress: object) -> object:
    module, _, function = str(request["entry"]).partition(":")
    package = request["package"]
    assert isinstance(package, list)
    name, file = package
    if name not in sys.modules:  # a third party's backend
        _load_package(name, Path(file))
    entry = getattr(importlib.import_module(module), function)
    inputs = request["inputs"]
    assert isinstance(inputs, dict)
    paths = {name: Path(path) for name, path in inputs.items()}
    return entry(paths, request["params"], folder / "output", progress)


def _describe(error: BaseException) -> dict[str, object]:
    from edgeflow.errors import EdgeflowError, JobError

    if isinstance(error, EdgeflowError):
        return error.to_json()
    kind = type(error).__name__
    text = str(error).strip().splitlines()
    return JobError(f"{kind}: {text[0] if text else ''}".rstrip(": ")).to_json()


if __name__ == "__main__":
    main()
