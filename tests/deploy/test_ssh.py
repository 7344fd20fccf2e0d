"""Deployment to a real sshd on loopback, with tflite-runtime as the board's runtime."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgeflow import toolchains
from edgeflow.deploy.ssh import deploy
from edgeflow.errors import DataError, DeployError, InputError
from edgeflow.report.terminal import render_deployment

QUICK = {"repetitions": 30, "warm_up": 2}
Reader = Callable[[], dict[str, Any]]


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(folder) in text and "sshd" not in text and "sftp-server" not in text:
            found.append(text)
    return found


def test_an_int8_model_answers_to_the_bit(
    board: Any, board_python: str, report: Path, read: Reader
) -> None:
    before = read()
    found = deploy(report, "int8", board.host, python=board_python, **board.keys(), **QUICK)
    assert found["passed"]
    assert found["equal"] == 1
    assert found["max_difference"] == 0
    assert found["inputs"] == 120
    assert (found["runtime"], found["version"], found["resolver"]) == (
        "tflite-runtime", "2.14.0", "BUILTIN_REF",
    )  # fmt: skip
    assert found["latency"]["repetitions"] == 30
    assert found["latency"]["p10"] <= found["latency"]["median"] <= found["latency"]["p90"]
    entry = read()["targets"]["int8"]
    assert entry["deployment"] == found
    assert entry["estimates"]["latency"] == before["targets"]["int8"]["estimates"]["latency"]
    measured = entry["estimates"]["latency_measured"]
    assert measured["value"] == found["latency"]["median"]
    assert measured["method"] == "measured"
    assert 0 < measured["low"] < measured["value"] < measured["high"]
    for words in (board.host, "tflite-runtime 2.14.0", "median of 30"):
        assert words in measured["source"]
    assert "On the board" in (report / "report.html").read_text()
    assert read()["targets"]["float"] == before["targets"]["float"]
    assert list(board.home.iterdir()) == []


def test_litert_on_the_board(board: Any, report: Path) -> None:
    """Its kernels may round otherwise than tflite-runtime's, which made the golden outputs."""
    python = str(toolchains.ensure(toolchains.get("keras")))
    found = deploy(report, "int8", board.host, python=python, **board.keys(), **QUICK)
    assert found["passed"]
    assert found["runtime"] == "litert"
    assert found["tolerance"]["absolute"] > 0
    assert "tflite-runtime 2.14.0, whose kernels may round" in found["tolerance"]["reason"]
    stream = io.StringIO()
    render_deployment(found, Console(file=stream, width=80))
    for words in (
        f"runtime   litert {found['version']}",
        "as expected on 120 inputs",
        "median of 30",
    ):
        assert words in stream.getvalue()


def test_a_float_model(board: Any, board_python: str, report: Path) -> None:
    found = deploy(report, "float", board.host, python=board_python, **board.keys(), **QUICK)
    assert found["passed"]
    assert found["agreement"] == 1
    assert found["max_difference"] <= found["tolerance"]["absolute"]
    with np.load(report / "float" / "golden.npz") as arrays:
        bound = 1e-4 * np.abs(arrays["y"]).max()
    assert found["tolerance"]["absolute"] == pytest.approx(bound)


def test_outputs_that_are_not_the_expected_ones(
    board: Any, board_python: str, report: Path, read: Reader
) -> None:
    """One golden output is tampered with by one step: exactness is asked for, and missed."""
    path = report / "int8" / "golden.npz"
    with np.load(path) as arrays:
        tampered = dict(arrays)
    tampered["y"] = tampered["y"].copy()
    tampered["y"][7, 3] += tampered["scale"]
    np.savez(path, **tampered)
    with pytest.raises(DeployError, match="not the expected ones") as caught:
        deploy(report, "int8", board.host, python=board_python, **board.keys(), **QUICK)
    assert "99.92% of the outputs are equal" in str(caught.value)
    entry = read()["targets"]["int8"]
    assert entry["deployment"]["passed"] is False
    assert entry["deployment"]["max_difference"] == pytest.approx(
        float(tampered["scale"]), rel=1e-3
    )
    assert "latency_measured" not in entry["estimates"]
    assert list(board.home.iterdir()) == []


def test_golden_outputs_of_another_runtime_may_differ_by_steps(
    board: Any, board_python: str, report: Path
) -> None:
    path = report / "int8" / "golden.npz"
    with np.load(path) as arrays:
        other = dict(arrays)
    other |= {"runtime": np.array("litert"), "version": np.array("9.9")}
    other["y"] = other["y"].copy()
    other["y"][:, 0] += 3 * other["scale"]
    np.savez(path, **other)
    keys = board.keys()
    found = deploy(report, "int8", board.host, python=board_python, **keys, **QUICK)
    assert found["passed"]
    assert "litert 9.9" in found["tolerance"]["reason"]
    other["y"][:, 0] += 3 * other["scale"]
    np.savez(path, **other)
    with pytest.raises(DeployError, match="not the expected ones"):
        deploy(report, "int8", board.host, python=board_python, **keys, **QUICK)


def test_an_unknown_host_key_is_shown_and_refused(
    board: Any, board_python: str, report: Path, tmp_path: Path, read: Reader
) -> None:
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    printed = subprocess.run(
        ["ssh-keygen", "-lf", str(board.folder / "host_key.pub")],
        check=True, capture_output=True, text=True,
    ).stdout.split()[1]  # fmt: skip
    before = read()
    with pytest.raises(DeployError, match="host key is not known") as caught:
        deploy(report, "int8", board.host, identity=board.identity, known_hosts=empty)
    assert printed in str(caught.value)
    assert f"ssh-keyscan -p {board.port} 127.0.0.1" in str(caught.value)
    assert empty.read_text() == ""
    assert read() == before


def test_a_changed_host_key_is_refused(board: Any, report: Path, tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "k")]
    subprocess.run(command, check=True)
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{board.port} {(tmp_path / 'k.pub').read_text()}")
    with pytest.raises(DeployError, match="host key of the board has changed") as caught:
        deploy(report, "int8", board.host, identity=board.identity, known_hosts=known)
    assert "ssh-keygen -R" in str(caught.value)


@pytest.mark.parametrize("revoked", [False, True])
def test_odd_lines_among_the_known_hosts(
    board: Any, board_python: str, report: Path, tmp_path: Path, revoked: bool
) -> None:
    """Broken lines are passed over; a key that is revoked is not known, wherever else it stands."""
    good = board.known_hosts.read_text()
    odd = ["# comment", "", "host ssh-rsa", "host ssh-ed25519 !!!", "\x00\xff", "a b c d e"]
    known = tmp_path / "known_hosts"
    lines = [*odd, good.strip(), *([f"@revoked * {good.split(' ', 1)[1]}"] if revoked else [])]
    known.write_text("\n".join(lines) + "\n")
    keys = {"identity": board.identity, "known_hosts": known}
    if revoked:
        with pytest.raises(DeployError, match="host key is not known"):
            deploy(report, "int8", board.host, **keys)
    else:
        assert deploy(report, "int8", board.host, python=board_python, **keys, **QUICK)["passed"]


def test_a_hashed_known_host(board: Any, board_python: str, report: Path, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    shutil.copyfile(board.known_hosts, known)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    keys = {"identity": board.identity, "known_hosts": known}
    assert deploy(report, "int8", board.host, python=board_python, **keys, **QUICK)["passed"]


def test_files_that_are_no_keys(board: Any, report: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the known hosts"):
        deploy(report, "int8", board.host, known_hosts=tmp_path / "none")
    for content, words in ((None, "found no file"), ("random", "found something else")):
        if content is not None:
            (tmp_path / "key").write_text(content)
        with pytest.raises(InputError, match=words):
            deploy(
                report, "int8", board.host, identity=tmp_path / "key", known_hosts=board.known_hosts
            )


def test_a_refused_login(board: Any, report: Path, tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")]
    subprocess.run(command, check=True)
    with pytest.raises(DeployError, match="refused the login") as caught:
        deploy(
            report, "int8", board.host, identity=tmp_path / "other", known_hosts=board.known_hosts
        )
    assert "ssh-copy-id" in str(caught.value)


def test_a_key_with_a_passphrase(
    board: Any, board_python: str, report: Path, tmp_path: Path
) -> None:
    identity = tmp_path / "locked"
    shutil.copyfile(board.identity, identity)
    identity.chmod(0o600)
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(identity)]
    subprocess.run(command, check=True, capture_output=True)
    keys = {"identity": identity, "known_hosts": board.known_hosts}
    with pytest.raises(DeployError, match="passphrase") as caught:
        deploy(report, "int8", board.host, **keys)
    assert "ssh-add" in str(caught.value)
    asked: list[str] = []
    found = deploy(
        report, "int8", board.host, python=board_python, **keys, **QUICK,
        ask=lambda prompt: asked.append(prompt) or "secret",
    )  # fmt: skip
    assert found["passed"]
    assert asked == [f"passphrase for {identity}: "]


def test_no_runtime_on_the_board(
    board: Any, board_python: str, report: Path, tmp_path: Path
) -> None:
    hide = tmp_path / "hide" / "tflite_runtime"
    hide.mkdir(parents=True)
    (hide / "__init__.py").write_text("raise ImportError('no module')")
    python = script(tmp_path / "python", f'PYTHONPATH={hide.parent} exec {board_python} "$@"')
    with pytest.raises(DeployError, match="has neither tflite-runtime .* nor litert") as caught:
        deploy(report, "int8", board.host, python=python, **board.keys())
    assert "pip install ai-edge-litert" in str(caught.value)
    assert list(board.home.iterdir()) == []


def test_no_numpy_on_the_board(board: Any, board_python: str, report: Path, tmp_path: Path) -> None:
    python = script(tmp_path / "python", f'exec {board_python} -S "$@"')
    with pytest.raises(DeployError, match="has no numpy"):
        deploy(report, "int8", board.host, python=python, **board.keys())


def test_no_such_python_on_the_board(board: Any, report: Path) -> None:
    with pytest.raises(DeployError, match="has no program '/no/python'") as caught:
        deploy(report, "int8", board.host, python="/no/python", **board.keys())
    assert "--python" in str(caught.value)


def test_a_program_that_is_no_python(board: Any, report: Path) -> None:
    with pytest.raises(DeployError, match="ended with 1") as caught:
        deploy(report, "int8", board.host, python="false", **board.keys())
    assert "Python 3.7" in str(caught.value)


def test_a_crash_on_the_board(board: Any, report: Path, tmp_path: Path) -> None:
    python = script(tmp_path / "python", "kill -SEGV $$")
    with pytest.raises(DeployError, match="ended (by a signal|with 139)"):
        deploy(report, "int8", board.host, python=python, **board.keys())


def test_a_run_that_takes_too_long(board: Any, report: Path, tmp_path: Path) -> None:
    python = script(tmp_path / "python", "exec sleep 20")
    started = time.monotonic()
    with pytest.raises(DeployError, match="did not finish within 1 s"):
        deploy(report, "int8", board.host, python=python, timeout=1, **board.keys())
    assert time.monotonic() - started < 10
    assert list(board.home.iterdir()) == []


def test_a_connection_that_is_lost(
    board: Any, board_python: str, report: Path, tmp_path: Path, read: Reader
) -> None:
    """The board's end of the connection is killed while the runner works.

    What runs there ends by itself and takes its folder with it.
    """
    before = read()
    python = script(
        tmp_path / "python",
        f'(sleep 1; kill -9 $PPID) </dev/null >/dev/null 2>&1 &\nexec {board_python} "$@"',
    )
    with pytest.raises(DeployError, match="lost while running the model"):
        deploy(
            report, "int8", board.host, python=python, repetitions=100_000_000, timeout=100,
            **board.keys(),
        )  # fmt: skip
    assert read() == before
    for _ in range(100):
        left = [p for p in board.home.rglob("*") if p.name.startswith("deploy-")]
        if not left and not processes_in(board.home):
            break
        time.sleep(0.1)
    assert left == []
    assert processes_in(board.home) == []
    shutil.rmtree(board.home / ".edgeflow", ignore_errors=True)


def test_a_full_disk_on_the_board(start_sshd: Any, board_python: str, report: Path) -> None:
    """The board may write files of 2,048 bytes at most; SFTP then says no more than "Failure"."""
    small = start_sshd(blocks=4)
    with pytest.raises(DeployError, match=r"cannot write model\.tflite.*MB free") as caught:
        deploy(report, "int8", small.host, python=board_python, **small.keys())
    assert "free some space" in str(caught.value)
    assert list(small.home.iterdir()) == []


def test_a_folder_that_cannot_be_made(start_sshd: Any, report: Path) -> None:
    odd = start_sshd()
    (odd.home / ".edgeflow").write_text("a file")
    with pytest.raises(DeployError, match="cannot write a folder"):
        deploy(report, "int8", odd.host, **odd.keys())
    assert (odd.home / ".edgeflow").read_text() == "a file"


def test_no_sftp_on_the_board(start_sshd: Any, report: Path) -> None:
    bare = start_sshd(sftp=False)
    with pytest.raises(DeployError, match="offers no SFTP") as caught:
        deploy(report, "int8", bare.host, **bare.keys())
    assert "openssh-sftp-server" in str(caught.value)


def test_nobody_there(report: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(DeployError, match="cannot be reached: Connection refused"):
            deploy(report, "int8", f"user@127.0.0.1:{port}")


def test_a_server_that_does_not_speak_ssh(report: Path, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeployError, match=r"expected an SSH server|closed the connection"):
            deploy(
                report,
                "int8",
                f"user@127.0.0.1:{server.getsockname()[1]}",
                known_hosts=tmp_path / "known",
            )
        thread.join()


@pytest.mark.parametrize(
    "host", ["", "user@", "a b", "user@host:0", "user@host:99999", "-oX", "a@b@c"]
)
def test_a_host_that_is_none(host: str, report: Path) -> None:
    with pytest.raises(InputError, match="expected a board as USER@HOST"):
        deploy(report, "int8", host)


def test_a_target_that_is_not_in_the_report(report: Path) -> None:
    with pytest.raises(InputError, match="expected a target of int8, float, found 'pi'"):
        deploy(report, "pi", "user@board")


def change(report: Path, **artifacts: str) -> None:
    from edgeflow.report.load import load
    from edgeflow.report.write import write

    record = load(report)
    record["targets"]["int8"]["artifacts"] = artifacts
    write(record, report)


def test_no_tflite_artifact(report: Path) -> None:
    change(report, hls_project="int8")
    with pytest.raises(InputError, match="expected an artifact 'tflite'.*found hls_project"):
        deploy(report, "int8", "user@board")


def test_an_artifact_outside_the_report_stays_here(report: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    change(report, tflite="../secret", golden="int8/golden.npz")
    with pytest.raises(InputError, match="outside the report's folder"):
        deploy(report, "int8", "user@board")
    (report / "int8" / "link").symlink_to(tmp_path / "secret")
    change(report, tflite="int8/link", golden="int8/golden.npz")
    with pytest.raises(InputError, match="outside the report's folder"):
        deploy(report, "int8", "user@board")


@pytest.mark.parametrize("content", [b"", b"random bytes", b"PK\x03\x04truncated"])
def test_golden_vectors_that_are_none(content: bytes, report: Path) -> None:
    (report / "int8" / "golden.npz").write_bytes(content)
    with pytest.raises(DataError, match="expected golden vectors"):
        deploy(report, "int8", "user@board")


def test_a_model_that_the_runtime_cannot_load(board: Any, board_python: str, report: Path) -> None:
    (report / "int8" / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\0" * 64)
    with pytest.raises(DeployError, match="cannot (run|load) the model|ended by a signal"):
        deploy(report, "int8", board.host, python=board_python, **board.keys())
    assert list(board.home.iterdir()) == []
