"""Bad input: one clear error, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

RECIPE = """name: t
model: {model}
data: {{file: {data}}}
targets: {targets}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all these commands, so that a loaded model is loaded once."""
    return tmp_path_factory.mktemp("cli-store")


def edgeflow(
    *arguments: object, store: Path, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeflow", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        check=False,
        env={**os.environ, "EDGEFLOW_STORE": str(store), "NO_COLOR": "1", **environment},
    )


def refused(done: subprocess.CompletedProcess[str], *words: str, made: Path | None = None) -> None:
    """The command failed as it should."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("edgeflow: ") >= 1
    for word in words:
        assert word in done.stderr, done.stderr
    if made is not None:
        assert not made.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: t\nmodle: a.keras\ntargets: [pynq-z2]\n", ("r.yaml:2", "'modle'", "did you mean 'model'")),
        ("model: {layers: [flatten], train: {epochs: many}}\ntargets: [pynq-z2]\n", ("r.yaml:1", "epochs", "'many'")),
        ("model: absent.keras\ntargets: [pynq-z2]\n", ("r.yaml:1", "there is no file", "absent.keras")),
        ("model: {layers: [flatten]}\ndata: {source: 'sklearn:digits'}\ntargets: [pynq-z3]\n", ("r.yaml:3", "pynq-z3", "pynq-z2")),
        ("model: {layers: [flatten]}\ntargets: {pynq-z2: {backend: hls5ml}}\n", ("r.yaml:2", "hls5ml", "did you mean 'hls4ml'")),
        ("model: {layers: [flatten]}\ntargets: {pynq-z2: {options: {strtegy: latency}}}\n", ("strtegy", "strategy")),
        ("model: {layers: [flatten]}\ntargets: {pynq-z2: {compress: {method: qkears}}}\n", ("qkears", "qkeras")),
        ("model: {layers: [flatten]}\ntargets: {pynq-z2: {compress: {method: qkeras, bitz: 3}}}\n", ("bitz", "bits")),
        ("model: {layers: [flatten]}\ntargets: {pynq-z2: {compress: {method: qkeras}}}\n", ("needs data",)),
        ("model: {layers: [flatten]}\ntargets: {}\n", ("targets",)),
        ("model: [\n", ("r.yaml",)),
        ("", ("r.yaml",)),
        ("a: &a [*a]\n", ("r.yaml",)),
        ("model: !!python/object/apply:os.system ['touch pwned']\ntargets: [pynq-z2]\n", ("r.yaml",)),
    ],
    ids=range(14),
)  # fmt: skip
def test_recipe(tmp_path: Path, store: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "r.yaml").write_text(text)
    done = edgeflow("run", "r.yaml", "--output", "out", store=store, cwd=tmp_path)
    refused(done, *words, made=tmp_path / "out")
    assert not (tmp_path / "pwned").exists()


def test_missing_recipe(tmp_path: Path, store: Path) -> None:
    done = edgeflow("run", "absent.yaml", store=store, cwd=tmp_path)
    refused(done, "absent.yaml")


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".onnx", ".tflite", ".json"])
@pytest.mark.parametrize("kind", ["random", "empty", "missing"])
def test_model_file_of_junk(tmp_path: Path, store: Path, suffix: str, kind: str) -> None:
    file = tmp_path / f"model{suffix}"
    if kind != "missing":
        file.write_bytes(np.random.default_rng(0).bytes(5000) if kind == "random" else b"")
    done = edgeflow("inspect", file, store=store, cwd=tmp_path)
    refused(done, f"model{suffix}")
    done = edgeflow(
        "compile", file, "--target", "raspberry-pi-4", "-o", "out", store=store, cwd=tmp_path
    )
    refused(done, f"model{suffix}", made=tmp_path / "out")


def test_a_wrong_option_is_placed(tmp_path: Path, store: Path) -> None:
    (tmp_path / "m.onnx").touch()
    rest = ("m.onnx", "-t", "pynq-z2", "-o", "out", "-O", "strtegy=latency")
    done = edgeflow("compile", *rest, store=store, cwd=tmp_path)
    refused(done, "--option: ", "did you mean 'strategy'", made=tmp_path / "out")


def test_unknown_target_names_the_nearest(tmp_path: Path, store: Path) -> None:
    for command in ("check", "estimate"):
        done = edgeflow(command, "m.keras", "--target", "rasberry-pi-4", store=store, cwd=tmp_path)
        refused(done, "raspberry-pi-4")
    refused(edgeflow("targets", "show", "pynqz2", store=store, cwd=tmp_path), "pynq-z2")


DATA = {
    "shape": (np.zeros((40, 7, 7, 1)), np.arange(40) % 10, "shape"),
    "nan": (np.full((40, 8, 8, 1), np.nan), np.arange(40) % 10, "NaN"),
    "empty": (np.zeros((0, 8, 8, 1)), np.zeros(0, int), "empty"),
    "labels": (np.zeros((40, 8, 8, 1)), np.arange(40), "classes"),
    "lengths": (np.zeros((40, 8, 8, 1)), np.arange(39) % 10, "39"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained model, as a Keras 3 file."""
    from edgeflow import toolchains

    file = tmp_path_factory.mktemp("model") / "tiny.keras"
    code = (
        "import keras, sys; m = keras.Sequential([keras.layers.Input((8, 8, 1)),"
        "keras.layers.Flatten(), keras.layers.Dense(10)]); m.save(sys.argv[1])"
    )
    chain = toolchains.get("keras")
    python = toolchains.ensure(chain)
    subprocess.run(
        [str(python), "-c", code, str(file)],
        check=True,
        capture_output=True,
        env={**os.environ, **chain.environment},
    )
    return file


@pytest.mark.parametrize("kind", DATA)
def test_data(tmp_path: Path, store: Path, model: Path, kind: str) -> None:
    x, y, word = DATA[kind]
    np.savez(tmp_path / "data.npz", x=x, y=y)
    text = RECIPE.format(model=model, data="data.npz", targets="[raspberry-pi-4]")
    (tmp_path / "r.yaml").write_text(text)
    done = edgeflow("run", "r.yaml", "--output", "out", store=store, cwd=tmp_path)
    refused(done, word, "data.npz", made=tmp_path / "out")


def test_data_that_is_no_npz(tmp_path: Path, store: Path, model: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 not really")
    done = edgeflow(
        "compile", model, "-t", "raspberry-pi-4", "--data", "data.npz", "-o", "out",
        store=store, cwd=tmp_path,
    )  # fmt: skip
    refused(done, "data.npz", made=tmp_path / "out")


def test_truncated_model(tmp_path: Path, store: Path, model: Path) -> None:
    whole = model.read_bytes()
    for part in (0.2, 0.9):
        file = tmp_path / "cut.keras"
        file.write_bytes(whole[: int(len(whole) * part)])
        refused(edgeflow("inspect", file, store=store, cwd=tmp_path), "cut.keras")


def test_output_that_cannot_be_written(tmp_path: Path, store: Path, model: Path) -> None:
    (tmp_path / "file").write_text("")
    done = edgeflow(
        "compile", model, "-t", "raspberry-pi-4", "-O", "precision=float32", "-o", "file/out",
        store=store, cwd=tmp_path,
    )  # fmt: skip
    refused(done, "file/out", "output folder that can be written")


@contextlib.contextmanager
def file_system(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own; needs the right to mount one, which CI has."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        if os.environ.get("CI"):
            pytest.fail(f"cannot mount a file system: {mounted.stderr.decode()}")
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def compile_to(
    folder: Path, store: Path, model: Path, cwd: Path
) -> subprocess.CompletedProcess[str]:
    return edgeflow(
        "compile", model, "-t", "raspberry-pi-4", "-O", "precision=float32", "-o", folder,
        store=store, cwd=cwd,
    )  # fmt: skip


def test_full_disk(tmp_path: Path, store: Path, model: Path) -> None:
    small = tmp_path / "small"
    with file_system(small, "size=64k"):
        (small / "fill").write_bytes(b"0" * 60_000)
        done = compile_to(small / "out", store, model, tmp_path)
        refused(done, "No space left", "free some space", made=small / "out")
        done = edgeflow("inspect", model, store=small / "store", cwd=tmp_path)
        refused(done, "free some space")
        assert not list((small / "store" / "tmp").glob("*"))


def test_read_only_disk(tmp_path: Path, store: Path, model: Path) -> None:
    sealed = tmp_path / "sealed"
    with file_system(sealed, "size=64k,ro"):
        done = compile_to(sealed / "out", store, model, tmp_path)
        refused(done, "Read-only", "output folder that can be written", made=sealed / "out")
        done = edgeflow("inspect", model, store=sealed / "store", cwd=tmp_path)
        refused(done, "Read-only", "EDGEFLOW_CACHE")


def test_no_compiler(tmp_path: Path, store: Path, model: Path) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("sh", "env", "true"):
        (path / name).symlink_to(f"/bin/{name}")
    done = edgeflow(
        "compile", model, "-t", "pynq-z2", "-o", "out", store=store, cwd=tmp_path, PATH=str(path)
    )
    refused(done, "g++", "apt install g++", made=tmp_path / "out")


def test_no_network_on_first_use(tmp_path: Path, model: Path) -> None:
    done = edgeflow(
        "inspect", model, store=tmp_path / "s", cwd=tmp_path,
        EDGEFLOW_CACHE=str(tmp_path / "cache"),
        UV_DEFAULT_INDEX="http://127.0.0.1:9/simple",
        UV_CACHE_DIR=str(tmp_path / "uv"),
        UV_HTTP_RETRIES="0",
    )  # fmt: skip
    refused(done, "edgeflow env sync keras")
