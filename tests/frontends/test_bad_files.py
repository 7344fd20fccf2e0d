"""Files that must be refused: one clear error each, nothing executed, no hang."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgeflow.errors import ModelError
from edgeflow.frontends.loader import load
from edgeflow.jobs import Runner


def refused(paths: list[Path], runner: Runner) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load(paths, runner)
    text = str(caught.value)
    assert paths[0].name in text
    assert "Traceback" not in text
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("file", ["lambda.keras", "lambda.h5"])
@pytest.mark.parametrize("folder", ["keras2", "keras3"])
def test_lambda_layers_are_refused(
    made: dict[str, Path], runner: Runner, folder: str, file: str
) -> None:
    error = refused([made[folder] / file], runner)
    assert "code" in error.message
    assert any("Lambda" in detail for detail in error.details)


@pytest.mark.parametrize("file", ["custom.keras", "custom.h5"])
@pytest.mark.parametrize("folder", ["keras2", "keras3"])
def test_unknown_layers_are_all_named(
    made: dict[str, Path], runner: Runner, folder: str, file: str
) -> None:
    error = refused([made[folder] / file], runner)
    assert "'first' of class Mine" in str(error)
    assert "'second' of class Other" in str(error)


@pytest.mark.parametrize(
    ("folder", "file", "layer"),
    [
        ("keras2", "nan.keras", "bad"), ("keras2", "nan.h5", "bad"), ("keras3", "nan.keras", "bad"),
        ("keras3", "nan.h5", "bad"), ("keras3", "nan.onnx", "Conv_a"),
    ],
)  # fmt: skip
def test_nan_weights_name_their_layers(
    made: dict[str, Path], runner: Runner, folder: str, file: str, layer: str
) -> None:
    error = refused([made[folder] / file], runner)
    assert "NaN" in error.message
    assert len(error.details) == 1
    assert f"'{layer}'" in error.details[0]


@pytest.mark.parametrize(
    ("folder", "file"),
    [("keras2", "image.h5"), ("keras3", "image.h5"), ("keras2", "image.keras"),
     ("keras3", "image.keras"), ("keras3", "image.onnx"), ("keras2", "pair.json")],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_files_cut_short(
    made: dict[str, Path], runner: Runner, tmp_path: Path, folder: str, file: str, share: float
) -> None:
    whole = (made[folder] / file).read_bytes()
    path = tmp_path / file
    path.write_bytes(whole[: int(len(whole) * share)])
    refused([path], runner)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".json", ".onnx", ".tflite", ".bin"])
def test_random_bytes(runner: Runner, tmp_path: Path, suffix: str) -> None:
    heads = {".keras": b"PK\x03\x04", ".h5": b"\x89HDF\r\n\x1a\n", ".tflite": b"\x1c\0\0\0TFL3"}
    for seed in range(3):
        noise = np.random.default_rng(seed).bytes(4000)
        path = tmp_path / f"noise{seed}{suffix}"
        path.write_bytes(noise)
        refused([path], runner)
        if suffix in heads:
            path.write_bytes(heads[suffix] + noise)
            refused([path], runner)


def test_changed_bytes_never_crash(made: dict[str, Path], runner: Runner, tmp_path: Path) -> None:
    """A byte changed in the middle: the file loads, or there is one clear error."""
    for file in ("shared.keras", "shared.h5"):
        whole = bytearray((made["keras3"] / file).read_bytes())
        for place in np.linspace(40, len(whole) - 40, 6).astype(int):
            changed = whole.copy()
            changed[place] ^= 0xFF
            path = tmp_path / f"{place}_{file}"
            path.write_bytes(changed)
            try:
                load([path], runner)
            except ModelError as error:
                assert path.name in str(error)  # noqa: PT017 - loading may succeed too


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


def test_pickles_are_refused_and_not_run(
    made: dict[str, Path], runner: Runner, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    code = pickle.dumps(Bomb(trap))
    plain = tmp_path / "model.h5"
    plain.write_bytes(code)
    assert "pickle" in refused([plain], runner).message
    torch = tmp_path / "model.pt"
    with zipfile.ZipFile(torch, "w") as archive:
        archive.writestr("archive/data.pkl", code)
    assert "pickled" in refused([torch], runner).message
    inside = tmp_path / "inside.keras"
    inside.write_bytes((made["keras3"] / "shared.keras").read_bytes())
    np.save(tmp_path / "o.npy", np.array([Bomb(trap)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(inside, "a") as archive:
        archive.write(tmp_path / "o.npy", "assets/o.npy")
    assert "assets/o.npy" in refused([inside], runner).details
    assert not trap.exists()


def test_a_tensorflow_function_that_reads_files_is_refused(
    made: dict[str, Path], runner: Runner, tmp_path: Path
) -> None:
    config = json.loads((made["keras2"] / "pair.json").read_text())
    config["config"]["layers"].append(
        {"class_name": "TFOpLambda", "config": {"name": "io", "function": "io.read_file"},
         "name": "io", "inbound_nodes": []}
    )  # fmt: skip
    path = tmp_path / "pair.json"
    path.write_text(json.dumps(config))
    error = refused([path, made["keras2"] / "pair_weights.h5"], runner)
    assert "io.read_file" in str(error)


def test_deep_json_does_not_hang(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"a":' * 200_000)
    refused([path], runner)


def test_missing_empty_folder_and_lonely_files(
    made: dict[str, Path], runner: Runner, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load([tmp_path / "no.keras"], runner)
    empty = tmp_path / "empty.h5"
    empty.touch()
    refused([empty], runner)
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    assert "SavedModel" in refused([folder], runner).message
    lonely = tmp_path / "lonely.json"
    lonely.write_bytes((made["keras2"] / "pair.json").read_bytes())
    assert "weights" in refused([lonely], runner).message
    assert "architecture" in refused([made["keras2"] / "pair_weights.h5"], runner).message
    assert "other files" in refused([made["keras3"] / "outside.onnx"], runner).message
