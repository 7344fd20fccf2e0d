"""A real sshd on loopback as the board, and a report to deploy from."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeflow import toolchains
from edgeflow.deploy import golden
from edgeflow.report.write import write

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")

MAKE_MODEL = """
import sys, numpy as np, tensorflow as tf
random = np.random.default_rng(1)
x = random.random((120, 8, 8, 1), np.float32)
conv = tf.constant(random.normal(size=(3, 3, 1, 4)), tf.float32)
dense = tf.constant(random.normal(size=(144, 10)), tf.float32)
@tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 1))])
def model(t):
    return tf.reshape(tf.nn.relu(tf.nn.conv2d(t, conv, 1, "VALID")), (1, 144)) @ dense
for name, quantised in (("int8", True), ("float", False)):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([model.get_concrete_function()], None)
    if quantised:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in x)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with open(f"{sys.argv[1]}/{name}.tflite", "wb") as handle:
        handle.write(converter.convert())
np.savez(f"{sys.argv[1]}/inputs.npz", x=x)
"""

RUN_MODEL = """
import sys, numpy as np
from tflite_runtime.interpreter import Interpreter, OpResolverType
folder, name = sys.argv[1:]
x = np.load(f"{folder}/inputs.npz")["x"]
interpreter = Interpreter(f"{folder}/{name}.tflite", experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
interpreter.allocate_tensors()
entry, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
y = []
for row in x:
    interpreter.set_tensor(entry, row[None])
    interpreter.invoke()
    y.append(interpreter.get_tensor(result)[0].copy())
np.savez(f"{folder}/{name}-outputs.npz", y=np.array(y))
"""


def skip(message: str) -> None:
    """Skip; in CI, where all programs are to be there, fail."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@dataclass
class Sshd:
    """A board: its address, the keys that open it, and its home folder."""

    port: int
    folder: Path
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        return f"{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{self.port}"

    @property
    def identity(self) -> Path:
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def keys(self) -> dict[str, Any]:
        return {"identity": self.identity, "known_hosts": self.known_hosts}


def keygen(path: Path, passphrase: str = "") -> str:
    """Make a key pair; returns the public key."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Starter = Callable[..., Sshd]


@pytest.fixture(scope="session")
def start_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts boards: ``start(blocks=largest file in 512 bytes, sftp=whether)``."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    server = next((path for path in SFTP_SERVERS if Path(path).exists()), None)
    if sshd is None or server is None or shutil.which("ssh-keygen") is None:
        skip("no sshd here: install Debian's openssh-server")
    started: list[Sshd] = []

    def start(blocks: int = 0, sftp: bool = True) -> Sshd:
        folder = tmp_path_factory.mktemp("board")
        home = folder / "home"
        home.mkdir()
        host_key = keygen(folder / "host_key")
        (folder / "authorized_keys").write_text(keygen(folder / "user_key") + "\n")
        port = free_port()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
        lines = [
            f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/host_key",
            f"AuthorizedKeysFile {folder}/authorized_keys", f"PidFile {folder}/pid",
            "UsePAM no", "StrictModes no", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password",
        ]  # fmt: skip
        if sftp:
            lines.append(f"Subsystem sftp {server} -d {home}")
        (folder / "config").write_text("\n".join(lines) + "\n")

        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where a privileged sshd changes its root to
        limit = f"trap '' XFSZ; ulimit -f {blocks}; " if blocks else ""
        command = f'{limit}exec "$0" -D -f "$1/config" -E "$1/log"'
        process = subprocess.Popen(
            ["/bin/sh", "-c", command, sshd, str(folder)], stdin=subprocess.DEVNULL
        )
        board = Sshd(port, folder, home, process)
        started.append(board)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return board
            if process.poll() is not None:
                break
            time.sleep(0.05)
        log = folder / "log"
        pytest.fail(f"sshd did not start: {log.read_text() if log.exists() else process.poll()}")

    yield start
    for board in started:
        board.process.terminate()
        board.process.wait()


@pytest.fixture(scope="session")
def board(start_sshd: Starter) -> Sshd:
    """One board for all tests that leave it as it was."""
    return start_sshd()


@pytest.fixture(scope="session")
def board_python() -> str:
    """The board's Python: numpy 1 and tflite-runtime."""
    return str(toolchains.ensure(toolchains.get("tflite_runtime")))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, board_python: str) -> Path:
    """``int8.tflite`` and ``float.tflite`` with golden vectors of tflite-runtime beside them."""
    folder = tmp_path_factory.mktemp("models")
    keras = toolchains.get("keras")
    environment = {**os.environ, **keras.environment}
    command = [str(toolchains.ensure(keras)), "-c", MAKE_MODEL, str(folder)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("int8", "float"):
        subprocess.run(
            [board_python, "-c", RUN_MODEL, str(folder), name], check=True, capture_output=True
        )
        outputs = {"tflite-runtime": ("2.14.0", folder / f"{name}-outputs.npz")}
        golden.write(folder / "inputs.npz", outputs, folder / f"{name}-golden.npz")
    return folder


@pytest.fixture
def report(tmp_path: Path, models: Path) -> Path:
    """A report's folder with the targets ``int8`` and ``float``."""
    folder = tmp_path / "out"
    targets = {}
    for name in ("int8", "float"):
        (folder / name).mkdir(parents=True)
        shutil.copyfile(models / f"{name}.tflite", folder / name / "model.tflite")
        shutil.copyfile(models / f"{name}-golden.npz", folder / name / "golden.npz")
        targets[name] = {
            "backend": "tflite",
            "accuracy": 0.9,
            "verified": True,
            "artifacts": {"tflite": f"{name}/model.tflite", "golden": f"{name}/golden.npz"},
            "estimates": {
                "latency": {
                    "value": 1e-3, "low": 5e-4, "high": 2e-3, "unit": "s", "method": "model", "source": "s",
                }
            },
        }  # fmt: skip
    record = {
        "schema": "edgeflow.report/1",
        "edgeflow": "0.1.0",
        "created": "2026-11-20T15:00:00+00:00",
        "name": "digits",
        "model": {"name": "m"},
        "targets": targets,
    }
    write(record, folder)
    return folder


@pytest.fixture
def read(report: Path) -> Callable[[], dict[str, Any]]:
    """Reads the report's file anew."""
    return lambda: json.loads((report / "report.json").read_text())
