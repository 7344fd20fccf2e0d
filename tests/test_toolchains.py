"""Toolchains: locked, made once, and clear about what hinders them."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow import toolchains
from edgeflow.errors import InputError, ToolchainError


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", toolchains.names())
def test_every_locked_package_has_hashes_and_an_exact_version(name: str) -> None:
    chain = toolchains.get(name)
    text = chain.lock.read_text()
    assert chain.packages
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "http" not in text
    wanted = (chain.lock.parent / "requirements.in").read_text().split()
    for line in wanted:
        pin, _, version = line.partition("==")
        assert version in ("", chain.packages[pin.lower().replace("_", "-")]), line


def test_names_are_the_designs() -> None:
    assert {"keras", "qkeras", "tflite_runtime", "tpu"} <= set(toolchains.names())


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="expected a toolchain of"):
        toolchains.get("kears")


def test_made_once_even_by_two_at_once(empty_cache: Path) -> None:
    chain = toolchains.get("tflite_runtime")
    assert not chain.ready
    lines: list[str] = []
    threads = [
        threading.Thread(target=toolchains.ensure, args=(chain, lines.append)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chain.ready
    assert sum(line.startswith("making") for line in lines) == 1
    assert any("Installed" in line for line in lines)
    code = "import tflite_runtime, numpy; print(tflite_runtime.__version__, numpy.__version__)"
    said = subprocess.run(
        [str(chain.interpreter), "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["2.14.0", "1.26.4"]
    assert toolchains.remove(chain)
    assert not chain.path.exists()
    assert not toolchains.remove(chain)


def test_half_made_environment_is_made_anew(empty_cache: Path) -> None:
    chain = toolchains.get("tflite_runtime")
    (chain.path / "bin").mkdir(parents=True)
    (chain.path / "bin" / "python").write_text("half")
    toolchains.ensure(chain)
    subprocess.run([str(chain.interpreter), "-c", "import numpy"], check=True)


def test_no_network_on_first_use(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(empty_cache / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    chain = toolchains.get("tflite_runtime")
    with pytest.raises(ToolchainError) as caught:
        toolchains.ensure(chain)
    assert "edgeflow env sync tflite_runtime" in str(caught.value)
    assert not chain.path.exists()


def test_package_that_is_not_the_locked_one(empty_cache: Path, tmp_path: Path) -> None:
    chain = toolchains.get("tflite_runtime")
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==1.26.4 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(ToolchainError) as caught:
        toolchains.ensure(replace(chain, lock=lock))
    assert not chain.path.exists()
    assert "do not use it" in str(caught.value)


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEFLOW_CACHE", str(tmp_path / "file"))
    with pytest.raises(ToolchainError, match="cannot be written"):
        toolchains.ensure(toolchains.get("tflite_runtime"))
