"""Datasets: sources, splits, options, and one clear error for each that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow import data_job, verify
from edgeflow.errors import DataError
from edgeflow.jobs import Job, Runner


def images(count: int = 40) -> np.ndarray:
    return np.random.default_rng(1).random((count, 4, 4, 1)).astype(np.float32)


def labels(count: int = 40) -> np.ndarray:
    return np.arange(count) % 4


def load(
    tmp_path: Path, given: dict[str, Any], /, **params: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    file = tmp_path / "given.npz"
    np.savez(file, **given)
    output = tmp_path / "output"
    output.mkdir(exist_ok=True)
    meta = data_job.load({"file": file}, params, output, lambda *_: None)
    assert json.loads((output / "data.json").read_text()) == meta
    with np.load(output / "data.npz") as data:
        return meta, dict(data)


def test_digits(runner: Runner) -> None:
    job = Job(
        "edgeflow.data_job:load", "keras", "digits", params={"source": "sklearn:digits", "seed": 3}
    )
    finished = runner.run(job)
    wanted = {
        "name": "digits", "task": "classification", "classes": 10, "input_shape": [8, 8, 1],
        "target_shape": [], "train": 1347, "test": 450, "labelled": True, "asked": False,
        "normalisation": {"scale": None, "shift": 0, "factor": 1 / 16},
    }  # fmt: skip
    assert {key: finished.result[key] for key in wanted} == wanted
    data = np.load(finished.path / "data.npz")
    assert data["x_train"].dtype == np.float32
    assert data["y_train"].dtype == np.int64
    assert data["x_train"].min() == 0
    assert data["x_train"].max() == 1
    # a held-out quarter of each class, and nothing in both parts
    whole = np.bincount(np.concatenate([data["y_train"], data["y_test"]]))
    assert np.abs(np.bincount(data["y_test"]) - whole / 4).max() < 1
    train = {x.tobytes() for x in data["x_train"]}
    assert not any(x.tobytes() in train for x in data["x_test"])


def test_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    given = {"x": images(), "y": labels()}
    first, a = load(tmp_path, given, seed=1)
    _, b = load(tmp_path, given, seed=1)
    _, c = load(tmp_path, given, seed=2)
    assert (first["train"], first["test"]) == (32, 8)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["x_test"], c["x_test"])


def test_one_hot_labels_and_given_split(tmp_path: Path) -> None:
    meta, data = load(
        tmp_path,
        {"X_train": images(), "Y_train": np.eye(4)[labels()], "X_test": images(8),
         "Y_test": np.eye(4)[labels(8)]},
    )  # fmt: skip
    assert meta["classes"] == 4
    assert data["y_train"].tolist() == labels().tolist()


def test_class_names_are_kept_where_there_is_one_for_each_class(tmp_path: Path) -> None:
    given = {"x": images(), "y": labels(), "class_names": np.array(["a", "b", "c", "ü"])}
    assert load(tmp_path, given)[0]["class_names"] == ["a", "b", "c", "ü"]
    assert "class_names" not in load(tmp_path, {**given, "class_names": np.array(["a"])})[0]


def test_named_arrays_without_training_data(tmp_path: Path) -> None:
    meta, data = load(
        tmp_path, {"x": images(), "y": labels()}, arrays={"x_test": "x", "y_test": "y"}
    )
    assert (meta["train"], meta["test"]) == (0, 40)
    with pytest.raises(DataError, match="samples to train with"):
        data_job.check_fit(meta, (4, 4, 1), (4,), training=True)
    data_job.check_fit(meta, (4, 4, 1), (4,))
    assert len(data["x_train"]) == 0


def test_training_inputs_without_labels_calibrate(tmp_path: Path) -> None:
    given = {"x_train": images(12), "x_test": images(), "y_test": labels()}
    meta, data = load(tmp_path, given)
    assert (meta["task"], meta["classes"], meta["train"]) == ("classification", 4, 12)
    assert "y_train" not in data
    data_job.check_fit(meta, (4, 4, 1), (4,))
    with pytest.raises(DataError, match="labels to train with"):
        data_job.check_fit(meta, (4, 4, 1), (4,), training=True)


def test_inputs_alone_calibrate_a_model_that_does_not_reconstruct_them(tmp_path: Path) -> None:
    meta, _ = load(tmp_path, {"x": images()})
    data_job.check_fit(meta, (4, 4, 1), (4,))
    np.savez(tmp_path / "outputs.npz", y=np.zeros((10, 4)))
    found = verify.accuracy(tmp_path / "outputs.npz", tmp_path / "output", meta["task"])
    assert found is None
    with pytest.raises(DataError, match="reconstructs its input"):
        data_job.check_fit(meta, (4, 4, 1), (4,), training=True)
    meta, _ = load(tmp_path, {"x": images()}, task="reconstruction")
    with pytest.raises(DataError, match="reconstructs its input"):
        data_job.check_fit(meta, (4, 4, 1), (4,))


def test_regression_and_reconstruction(tmp_path: Path) -> None:
    meta, data = load(tmp_path, {"x": images(), "y": images()[:, 0, 0, 0]}, task="regression")
    assert (meta["task"], meta["classes"]) == ("regression", None)
    assert data["y_test"].dtype == np.float32
    meta, data = load(tmp_path, {"x": images()})
    assert meta["task"] == "reconstruction"
    assert "y_test" not in data


def _said(meta: dict[str, Any], word: str, x: np.ndarray, data: dict[str, np.ndarray]) -> None:
    """The recorded figures make the dataset's inputs from the file's."""
    said = meta["normalisation"]
    assert said["scale"] == word
    made = (x.reshape(len(x), -1) - np.float32(said["shift"])) * np.float32(said["factor"])
    for row in data["x_test"].reshape(len(data["x_test"]), -1):
        assert np.abs(made - row).max(axis=1).min() < 1e-6


def test_options(tmp_path: Path) -> None:
    given = {"x": images() * 50 - 3, "y": labels()}
    meta, data = load(tmp_path, given, flatten=True, scale="unit", limit=10)
    assert meta["input_shape"] == [16]
    assert meta["train"] == 10
    # scaled by the kept training samples alone
    assert data["x_train"].min() == 0
    assert data["x_train"].max() == pytest.approx(1)
    _said(meta, "unit", given["x"], data)
    meta, data = load(tmp_path, given, scale="standard")
    _said(meta, "standard", given["x"], data)
    assert len(meta["normalisation"]["shift"]) == 16
    assert np.abs(data["x_train"].mean(axis=0)).max() < 1e-4
    assert np.abs(data["x_train"].std(axis=0) - 1).max() < 1e-3
    meta, data = load(tmp_path, given, scale=0.5)
    assert meta["normalisation"] == {"scale": 0.5, "shift": 0, "factor": 0.5}
    assert "normalisation" not in load(tmp_path, given)[0]
    assert data["x_test"].max() == pytest.approx(np.max(data["x_test"]))
    assert np.isin(data["x_test"], (given["x"] * np.float32(0.5))).all()


@pytest.mark.parametrize(
    ("arrays", "params", "message"),
    [
        ({"a": images()}, {}, "expected arrays x_train"),
        ({"x": images()[:0], "y": labels()[:0]}, {}, "is empty"),
        ({"x": np.full((4, 2), np.nan), "y": labels(4)}, {}, "NaN or infinite values in 4 of 4"),
        ({"x": np.full((4, 2), np.inf), "y": labels(4)}, {}, "NaN or infinite"),
        ({"x": images(), "y": labels(39)}, {}, "found 40 in 'x' and 39 in 'y'"),
        ({"x": images(), "y": labels() - 1}, {}, "found -1 to 2"),
        ({"x": images(), "y": labels()}, {"classes": 3}, "labels from 0 to 2, found 0 to 3"),
        ({"x": images(), "y": np.array(list("ab" * 20))}, {}, "numbers as labels"),
        ({"x": np.array(["a"] * 40), "y": labels()}, {}, "numbers in 'x'"),
        ({"x": labels(), "y": labels()}, {}, "samples along the first axis"),
        ({"x": images(), "y": labels()}, {"test_fraction": 2}, "test_fraction"),
        ({"x": images(1), "y": labels(1)}, {}, "too few"),
        ({"x": images(), "y": labels()}, {"scale": "no"}, "scale"),
        ({"x": images(), "y": labels()}, {"task": "no"}, "expected a task"),
        ({"x": images()}, {"task": "classification"}, "expected labels"),
        ({"x": images(), "y": labels() + 0.5}, {"task": "classification"}, "whole number"),
        ({"x": images()}, {"arrays": {"x": "z"}}, "expected arrays z, found x"),
        ({"x_train": images(), "x_test": images()[:, 1:]}, {}, "one shape of samples"),
    ],
)  # fmt: skip
def test_bad_datasets(
    tmp_path: Path, arrays: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, arrays, **params)
    assert not list((tmp_path / "output").iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x00" * 100, b"\x93NUMPY"])
def test_files_that_are_no_dataset(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data.npz"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"npz"):
        data_job.load({"file": file}, {}, tmp_path, lambda *_: None)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    with pytest.raises(DataError, match="pickled"):
        load(tmp_path, {"x": np.array([Trap()] * 4, object), "y": labels(4)})
    assert not (tmp_path / "executed").exists()


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", images())
    with pytest.raises(DataError, match="single array"):
        data_job.load({"file": tmp_path / "data.npy"}, {}, tmp_path, lambda *_: None)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        data_job.load({"file": tmp_path / "no.npz"}, {}, tmp_path, lambda *_: None)


def test_unknown_source(runner: Runner) -> None:
    job = Job("edgeflow.data_job:load", "keras", "data", params={"source": "sklearn:digit"})
    with pytest.raises(DataError, match="sklearn:digits"):
        runner.run(job)


@pytest.mark.parametrize(
    ("meta", "shapes", "message"),
    [
        ({}, ((4, 4), (4,)), r"inputs of shape \(4 x 4\), found \(4 x 4 x 1\)"),
        ({}, ((16,), (4,)), "flatten: true"),
        ({}, ((4, 4, 1), (3,)), "tells 3 classes apart, the labels have 4"),
        ({}, ((4, 4, 1), (1,)), "tells 2 classes apart, the labels have 4"),
        ({"task": "reconstruction"}, ((4, 4, 1), (4,)), "reconstructs"),
        ({"task": "regression", "target_shape": [2]}, ((4, 4, 1), (4,)), "targets"),
    ],
)
def test_misfits(meta: dict[str, Any], shapes: Any, message: str) -> None:
    base = {"name": "d", "task": "classification", "classes": 4, "input_shape": [4, 4, 1],
            "target_shape": [], "train": 1, "test": 1}  # fmt: skip
    with pytest.raises(DataError, match=message) as caught:
        data_job.check_fit({**base, **meta}, *shapes)
    assert message.startswith("flatten") == ("flatten" in str(caught.value))


def test_fits() -> None:
    meta = {"name": "d", "task": "classification", "classes": 2, "input_shape": [4, 4, 1],
            "target_shape": [], "train": 1, "test": 1}  # fmt: skip
    data_job.check_fit(meta, (None, None, 1), (1,), training=True)
    data_job.check_fit(meta, (4, 4, 1), (2,))
    data_job.check_fit({**meta, "task": "reconstruction"}, (4, 4, 1), (16,))
    data_job.check_fit({**meta, "task": "regression"}, (4, 4, 1), (1,))
