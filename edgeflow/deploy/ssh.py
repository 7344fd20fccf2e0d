"""Deploys a TFLite artifact to a board over SSH: runs it there, compares, measures.

The board needs an SSH server with SFTP and a Python with numpy and tflite-runtime or LiteRT. What
is copied to it (model, golden vectors, `board_runner`) goes into a fresh folder, which is removed
at the end, by us or, where the connection breaks, by the runner itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.deploy import board_runner, golden
from edgeflow.deploy.connection import Address, Board, connect
from edgeflow.deploy.golden import Golden
from edgeflow.deploy.judge import judge, latency
from edgeflow.errors import DeployError, InputError

if TYPE_CHECKING:
    import numpy as np
    import paramiko

RUNTIMES = {
    "numpy": "install numpy into the board's Python, or name another one with --python",
    "runtime": "on the board: `python3 -m pip install ai-edge-litert` (or, with Python 3.11 or "
    "older, `tflite-runtime 'numpy<2'`), or name a Python that has it with --python",
    "model": "the board's runtime is older than the model's operations: install a newer one",
    "transfer": "run the command again",
    "shape": "run `edgeflow run` again: model and golden vectors do not belong together",
}
"""The remedy for each kind of failure that the runner reports."""


def deploy(
    report_folder: Path,
    target: str,
    host: str,
    *,
    identity: Path | None = None,
    known_hosts: Path | None = None,
    python: str = "python3",
    repetitions: int = 200,
    warm_up: int = 10,
    threads: int = 1,
    timeout: float = 300,
    folder: str = ".edgeflow",
    ask: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """Run a target's TFLite artifact on a board and put what was found into the report.

    The report's target gets ``deployment`` (the result of this function) and, where the outputs
    are right, ``estimates.latency_measured`` (s, one inference, batch 1, default kernels).

    Args:
        report_folder: the folder with ``report.json``.
        target: one of its targets, with artifacts ``tflite`` and ``golden`` (`golden`).
        host: the board, ``[user@]host[:port]``.
        identity: private key; by default the agent's keys and those in ``~/.ssh``.
        known_hosts: known host keys; by default the user's and the system's file.
        python: the board's Python.
        repetitions, warm_up: measured and unmeasured inferences.
        threads: of the measured runtime.
        timeout: seconds for the run on the board.
        folder: where to work on the board, below the login folder.
        ask: asks a person for a password or passphrase; None where there is no person.

    Raises:
        InputError: the report, target, host or a key cannot be used.
        DeployError: the board cannot be reached or used, or gave wrong outputs (then the report
            says so too).
    """
    from edgeflow.report.load import load
    from edgeflow.report.write import write

    address = Address.parse(host)
    record = load(report_folder)
    root = report_folder if report_folder.is_dir() else report_folder.parent
    entry = _entry(record, target, root)
    model = _artifact(entry, target, "tflite", root).read_bytes()
    vectors = golden.read(_artifact(entry, target, "golden", root))
    settings = {
        "repetitions": max(3, repetitions),
        "warm_up": max(1, warm_up),
        "threads": max(1, threads),
        "seconds": timeout / 4,
        "attached": True,
        "sha256": {"model": _sha256(model), "vectors": _sha256(vectors.content)},
    }
    with connect(address, identity=identity, known_hosts=known_hosts, ask=ask) as board:
        found, outputs = _run_there(board, model, vectors, settings, python, timeout, folder)
    deployment = judge(found, outputs, vectors, str(address))
    entry["deployment"] = deployment
    if deployment["passed"]:
        entry["estimates"]["latency_measured"] = latency(deployment)
    else:
        entry["estimates"].pop("latency_measured", None)
    write(record, root)
    if not deployment["passed"]:
        raise DeployError(
            f"the board's outputs are not the expected ones: {deployment['explanation']}",
            where=str(address),
            remedy="see `deployment` in report.json; a run anew (`edgeflow run`) makes model and "
            "golden vectors that belong together",
        )
    return deployment


def _entry(record: dict[str, Any], target: str, root: Path) -> dict[str, Any]:
    targets: dict[str, Any] = record["targets"]
    if target not in targets:
        raise InputError(
            f"expected a target of {', '.join(targets) or '(none)'}, found '{target}'",
            where=str(root / "report.json"),
        )
    entry: dict[str, Any] = targets[target]
    return entry


def _artifact(entry: dict[str, Any], target: str, kind: str, root: Path) -> Path:
    """An artifact's file, which must lie in the report's folder: it will leave this machine."""
    path = entry["artifacts"].get(kind)
    if path is None:
        have = ", ".join(entry["artifacts"]) or "nothing"
        raise InputError(
            f"expected an artifact '{kind}' of target '{target}', found {have}",
            where=str(root / "report.json"),
            remedy="deploy a target of the tflite backend; run its recipe again where the report "
            "is of an older version",
        )
    file: Path = (root / path).resolve()
    if not file.is_relative_to(root.resolve()):
        raise InputError(f"the artifact '{kind}' is outside the report's folder", where=str(file))
    if not file.is_file():
        raise InputError(
            f"the artifact '{kind}' is not there", where=str(file), remedy="run the recipe again"
        )
    return file


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _run_there(
    board: Board,
    model: bytes,
    vectors: Golden,
    settings: dict[str, Any],
    python: str,
    timeout: float,
    folder: str,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Copy, run, fetch, clean up; returns the runner's findings and the outputs by resolver."""
    import numpy as np

    runner = Path(board_runner.__file__).read_bytes()
    files = {"model.tflite": model, "vectors.npz": vectors.content, "board_runner.py": runner}
    with _folder(board, folder) as (sftp, place):
        for name, content in files.items():
            with board.during(f"copying {name}"), _writing(board, place, name, len(content)):
                sftp.putfo(io.BytesIO(content), f"{place}/{name}.part", len(content))
                sftp.posix_rename(f"{place}/{name}.part", f"{place}/{name}")
        words = [python, f"{place}/board_runner.py"]
        words += [f"{place}/{name}" for name in ("model.tflite", "vectors.npz", "outputs.npz")]
        with board.during("running the model"):
            command = shlex.join([*words, json.dumps(settings)])
            findings = _findings(board, *board.run(command, timeout), python)
        with board.during("fetching the outputs"):
            fetched = io.BytesIO()
            sftp.getfo(f"{place}/outputs.npz", fetched)
    try:
        with np.load(io.BytesIO(fetched.getvalue()), allow_pickle=False) as arrays:
            outputs = {name: arrays[name] for name in ("reference", "default")}
    except golden.UNREADABLE as error:
        raise DeployError(
            f"the board's outputs cannot be read: {error}", where=str(board.address)
        ) from None
    return findings, outputs


@contextlib.contextmanager
def _folder(board: Board, name: str) -> Iterator[tuple[paramiko.SFTPClient, str]]:
    """SFTP and a fresh folder on the board, removed at the end."""
    import paramiko

    with board.during("opening SFTP"):
        try:
            sftp = board.client.open_sftp()
        except (paramiko.SSHException, EOFError) as error:
            transport = board.client.get_transport()
            if transport is None or not transport.is_active():
                raise
            raise DeployError(
                f"the board offers no SFTP: {error}",
                where=str(board.address),
                remedy="install openssh-sftp-server on the board",
            ) from None
    with sftp:
        channel = sftp.get_channel()
        if channel is not None:
            channel.settimeout(60)
        parent = f"{sftp.normalize('.')}/{name}"
        place = f"{parent}/deploy-{uuid.uuid4().hex[:12]}"
        with board.during("making a folder"), _writing(board, parent, "a folder", 0):
            with contextlib.suppress(OSError):
                sftp.mkdir(parent, 0o700)  # fails where it is there
            sftp.mkdir(place, 0o700)
        try:
            yield sftp, place
        finally:
            # Whatever breaks here, what went wrong before matters more.
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                for file in sftp.listdir(place):
                    sftp.remove(f"{place}/{file}")
                sftp.rmdir(place)
                sftp.rmdir(parent)  # fails where another deployment is at work


@contextlib.contextmanager
def _writing(board: Board, place: str, name: str, size: int) -> Iterator[None]:
    """Turn a failed write into an error that says how much room the board has.

    SFTP (version 3) has no status for a full disk: it says "Failure".
    """
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        transport = board.client.get_transport()
        if transport is None or not transport.is_active():
            raise ConnectionError(str(error)) from None
        free = _free(board, place)
        full = free is not None and free < size
        room = "" if free is None else f" ({free / 1e6:.1f} MB free, {size / 1e6:.3f} MB needed)"
        raise DeployError(
            f"the board's disk is full{room}" if full else f"cannot write {name}: {error}{room}",
            where=f"{board.address}:{place}",
            remedy="free some space there, or make the folder writable for this user",
        ) from None


def _free(board: Board, place: str) -> int | None:
    """Bytes that are free on the board where `place` is; None where it cannot say."""
    with contextlib.suppress(DeployError, ConnectionError, ValueError, IndexError):
        _, text, _ = board.run(f"df -Pk {shlex.quote(place)} || df -Pk .", 15)
        return int(text.strip().splitlines()[-1].split()[3]) * 1024
    return None


def _findings(
    board: Board, status: int | None, output: str, errors: str, python: str
) -> dict[str, Any]:
    """The runner's line of JSON; what stopped it as an error."""
    where = str(board.address)
    last = output.strip().splitlines()[-1:] or [""]
    with contextlib.suppress(ValueError):
        found = json.loads(last[0])
        if status == 0 and isinstance(found, dict) and "comparison" in found:
            return found
        if isinstance(found, dict) and "error" in found:
            raise DeployError(
                f"the board cannot run the model: {found.get('message')}",
                where=where,
                remedy=RUNTIMES.get(str(found["error"])),
            )
    tail = [line for line in errors.strip().splitlines() if line.strip()][-3:]
    if status == 127:
        raise DeployError(
            f"the board has no program '{python}'",
            where=where,
            details=tail,
            remedy="install Python 3 on the board, or name its Python with --python",
        )
    ended = "by a signal (a crash, or too little memory)" if status is None else f"with {status}"
    raise DeployError(
        f"the run on the board ended {ended}",
        where=where,
        details=tail,
        remedy=f"see that '{python}' there is Python 3.7 or later with numpy and a runtime built "
        "for that numpy (tflite-runtime needs numpy below 2)",
    )
