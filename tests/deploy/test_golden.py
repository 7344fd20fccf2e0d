"""Golden vectors: written, read, and what they say of the output's scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.deploy.golden import LIMIT, read, scale_of, write
from edgeflow.errors import DataError, StoreError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    q = random.integers(-128, 128, (LIMIT + 20, 10))
    np.savez(tmp_path / "inputs.npz", x=random.random((LIMIT + 20, 8, 8, 1), np.float32))
    np.savez(tmp_path / "a.npz", y=((q - 3) * 0.125).astype(np.float32))
    np.savez(tmp_path / "b.npz", y=((q - 2) * 0.125).astype(np.float32))
    return tmp_path


def test_two_runtimes(folder: Path) -> None:
    outputs = {
        "tflite-runtime": ("2.14.0", folder / "a.npz"),
        "litert": ("2.3.0", folder / "b.npz"),
    }
    found = read(write(folder / "inputs.npz", outputs, folder / "new" / "golden.npz"))
    assert found.scale == pytest.approx(0.125)
    assert list(found.outputs) == ["tflite-runtime", "litert"]
    for name, source in (("tflite-runtime", "a"), ("litert", "b")):
        version, y = found.outputs[name]
        assert version == outputs[name][0]
        np.testing.assert_array_equal(y, np.load(folder / f"{source}.npz")["y"][:LIMIT])
    with np.load(folder / "new" / "golden.npz", allow_pickle=False) as arrays:
        assert arrays["x"].shape == (LIMIT, 8, 8, 1)


def test_the_same_vectors_give_the_same_bytes(folder: Path) -> None:
    outputs = {"litert": ("2.3.0", folder / "a.npz")}
    paths = [write(folder / "inputs.npz", outputs, folder / name) for name in ("1.npz", "2.npz")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_x_and_y_alone_are_enough(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", x=np.zeros((2, 3)), y=np.ones((2, 4)))
    found = read(tmp_path / "g.npz")
    assert list(found.outputs) == ["tflite-runtime"]
    assert found.scale == 0


def test_as_many_outputs_as_inputs(folder: Path) -> None:
    np.savez(folder / "few.npz", y=np.zeros((3, 10)))
    with pytest.raises(DataError, match=f"expected {LIMIT + 20} outputs, found 3"):
        write(folder / "inputs.npz", {"litert": ("", folder / "few.npz")}, folder / "g.npz")
    np.savez(folder / "g.npz", x=np.zeros((2, 3)), y=np.ones((3, 4)))
    with pytest.raises(DataError, match=r"as many finite outputs as inputs \(2\)"):
        read(folder / "g.npz")
    np.savez(folder / "g.npz", x=np.zeros((2, 3)), y=np.full((2, 4), np.nan))
    with pytest.raises(DataError, match="finite"):
        read(folder / "g.npz")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", x=np.zeros((2, 3)), y=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="expected golden vectors"):
        read(tmp_path / "g.npz")


def test_a_folder_that_cannot_be(folder: Path) -> None:
    outputs = {"litert": ("", folder / "a.npz")}
    with pytest.raises(StoreError, match="cannot write golden vectors"):
        write(folder / "inputs.npz", outputs, folder / "a.npz" / "g.npz")


@pytest.mark.parametrize("step", [1 / 256, 0.37, 3e-5])
def test_scale_of_integers(step: float) -> None:
    q = np.random.default_rng(0).integers(-128, 128, 1000)
    assert scale_of(((q + 7) * step).astype(np.float32)) == pytest.approx(step, rel=1e-3)


def test_floats_have_no_scale() -> None:
    assert scale_of(np.random.default_rng(0).normal(size=1000).astype(np.float32)) == 0
    assert scale_of(np.array([0.0, 1.0])) == 0


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_inputs_are_cut_short(tmp_path: Path, save: Any) -> None:
    x = np.zeros((9, 1000, 1000), np.float32)
    x[:, 0, 0] = range(9)
    save(tmp_path / "inputs.npz", x=x)
    np.savez(tmp_path / "y.npz", y=np.arange(27).reshape(9, 3))
    write(tmp_path / "inputs.npz", {"litert": ("", tmp_path / "y.npz")}, tmp_path / "g.npz")
    with np.load(tmp_path / "g.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["x"], x[:4])
        np.testing.assert_array_equal(arrays["y"], np.arange(12).reshape(4, 3))


def test_inputs_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "inputs.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="expected an .npz with 'x'"):
        write(tmp_path / "inputs.npz", {}, tmp_path / "g.npz")
