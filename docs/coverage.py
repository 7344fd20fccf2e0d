"""Runs every real model through every backend; writes docs/coverage.json and docs/coverage.md.

    EDGEFLOW_DATA=FOLDER python docs/coverage.py [--only GLOB] [--backend NAME] [--workers N]
    python docs/coverage.py --render          # docs/coverage.md from docs/coverage.json, no runs

Each model is inspected, checked, compiled and verified by the library itself, one target at a time.
A failure is a row of the table. Results are kept in the store and in docs/coverage.json, so that a
run that was stopped goes on, and ``--only`` renews some rows.
"""

from __future__ import annotations

import argparse
import fcntl
import fnmatch
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage_page

import edgeflow
from edgeflow import api, golden_job, pipeline
from edgeflow.errors import EdgeflowError
from edgeflow.frontends import loader
from edgeflow.jobs import Finished, Job, Runner
from edgeflow.network import Network
from edgeflow.recipe import DataSpec, ModelSpec, Recipe, TargetSpec

if TYPE_CHECKING:
    import numpy as np

DOCS = Path(__file__).parent
SUFFIXES = (".h5", ".hdf5", ".keras", ".onnx", ".tflite")
JOB_LIMIT = 300.0
"""Seconds that one job may take here."""
CALIBRATION = 200
"""Inputs on which ranges are measured for int8."""


@dataclass(frozen=True)
class Aim:
    """A backend with the target and options to try it with.

    ``budget`` is how many multiplications the golden inputs may cost all in all: C simulation and
    reference kernels do some ten to hundred million in a second.
    """

    title: str
    backend: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: float = 2e10


HLS4ML = Aim("hls4ml", "hls4ml", "alveo-u250", budget=1e9)
RTL = Aim("rtl", "rtl", "alveo-u250", {"build": "rtl"}, budget=2e8)
FLOAT32 = Aim("tflite float32", "tflite", "raspberry-pi-4", {"precision": "float32"})
INT8 = Aim("tflite int8", "tflite", "nucleo-h7a3zi-q", {"precision": "int8"})
AS_IT_IS = Aim("tflite as it is", "tflite", "raspberry-pi-4")
TPU = Aim("tpu", "tpu", "tpu-v5e")


@dataclass(frozen=True)
class Data:
    """Real data for some models: which arrays, how they become the model's inputs, in words."""

    pattern: str
    words: str
    read: Callable[[Path], Mapping[str, np.ndarray]]


def _images(factor: float) -> Callable[[Path], Mapping[str, np.ndarray]]:
    def read(root: Path) -> Mapping[str, np.ndarray]:
        given = _arrays(root / "datasets/cifar10_ic01.npz")
        return {
            "x_train": given["x_calib_unlabelled"][:CALIBRATION] * factor,
            "x_test": given["x_test"] * factor,
            "y_test": given["y_test"],
        }

    return read


def _keywords(root: Path) -> Mapping[str, np.ndarray]:
    """int8 spectra become the numbers that they stand for: the int8 reference file's own scale."""
    given = _arrays(root / "datasets/kws01_int8_mfcc.npz")
    x = (given["x"].astype("float32") - 83) * 0.5847029089927673
    return {"x_train": x[:CALIBRATION], "x_test": x, "y_test": given["y"]}


def _columns(root: Path) -> Mapping[str, np.ndarray]:
    """The spectra with time along the columns."""
    return {
        role: array.swapaxes(1, 2) if role[0] == "x" else array
        for role, array in _keywords(root).items()
    }


def _recording(root: Path) -> Mapping[str, np.ndarray]:
    """Windows of 5 frames of 128 bands, as MLPerf Tiny's runner takes them."""
    import numpy as np

    folder = root / "models/mlperf_tiny/ref_inputs/dcase01"
    frames = np.fromfile(folder / "normal_id_01_00000000_hist_librosa.bin", "<f4").reshape(-1, 128)
    windows = np.lib.stride_tricks.sliding_window_view(frames.ravel(), 640)[::128]
    return {"x_train": windows[::2], "x_test": windows}


def _digits(root: Path) -> Mapping[str, np.ndarray]:
    given = _arrays(root / "datasets/mnist.npz")
    return {
        "x_train": given["x_train"][:CALIBRATION] / 255,
        "y_train": given["y_train"][:CALIBRATION],
        "x_test": given["x_test"] / 255,
        "y_test": given["y_test"],
    }


def _wake_words(root: Path) -> Mapping[str, np.ndarray]:
    given = _arrays(root / "models/mlperf_tiny/streaming_wakeword/calibration_samples.npz")
    return {"x_train": given["specs"], "x_test": given["specs"], "y_test": given["labels"]}


RECORDING = "196 windows of MLPerf Tiny's one recording"
IMAGES = "200 labelled CIFAR-10 images, 0 to 255"
DATA = (
    Data("mlperf_tiny/image_classification/*", IMAGES, _images(1.0)),
    Data("mlperf_tiny/onnx_kai_jiang/resnet.onnx", IMAGES, _images(1.0)),
    Data("*/RN07/*", "200 labelled CIFAR-10 images, 0 to 1", _images(1 / 255)),
    Data("*kws_ref_model*", "1,000 labelled MFCC spectra", _keywords),
    Data("*/anomaly_detection/*", RECORDING, _recording),
    Data("*/deep_autoencoder*", RECORDING, _recording),
    Data("*/KWS-W3A3/*", "1,000 labelled MFCC spectra, transposed", _columns),
    Data("*/qkeras_mnist_dense*", "10,000 labelled MNIST digits, 0 to 1", _digits),
    Data("*/streaming_wakeword/*", "MLPerf Tiny's 45 calibration spectra", _wake_words),
)
RANGES = (("*/visual_wake_words/*", 0.0, 1.0),)
"""Of random inputs, where a model's int8 sibling says which range its inputs have."""


def models(root: Path) -> Iterator[tuple[Path, ...]]:
    """Every model's files: one, or an architecture and its weights."""
    for folder in coverage_page.FOLDERS:
        paths = sorted((root / folder).rglob("*"))
        architectures = [path for path in paths if _is_architecture(path)]
        taken = set()
        for path in architectures:
            for weights in sorted(path.parent.glob("*_weights.h5")):
                owners = [a for a in architectures if weights.name.startswith(a.stem + "_")]
                if path == max(owners, key=lambda a: len(a.stem), default=None):
                    taken.add(weights)
                    yield path, weights
        for path in paths:
            if path.suffix in SUFFIXES and path not in taken:
                yield (path,)
            elif path.name == "saved_model.pb":
                yield (path.parent,)


def _is_architecture(path: Path) -> bool:
    if path.suffix != ".json":
        return False
    try:
        return "class_name" in json.loads(path.read_text())
    except (ValueError, TypeError):
        return False


def name_of(files: tuple[Path, ...], root: Path) -> str:
    """What a row is called: the file that tells the model from others."""
    return files[-1].relative_to(root).as_posix()


def aims(network: Network) -> tuple[Aim, ...]:
    """What to try a model with."""
    if network.source.get("format") != "tflite":
        return HLS4ML, RTL, FLOAT32, INT8, TPU
    if network[network.inputs[0]].quantizer is None and not network.quantized:
        return HLS4ML, FLOAT32, INT8, TPU
    return HLS4ML, AS_IT_IS, replace(INT8, options={}), TPU


class Bounded(Runner):
    """A runner whose jobs end in time."""

    def run(self, job: Job) -> Finished:
        """As `Runner.run`, with `JOB_LIMIT`; what is unrolled into adders takes longer."""
        limit = JOB_LIMIT * (3 if ".rtl." in job.entry else 1)
        return super().run(replace(job, timeout=min(job.timeout, limit)))


def examine(
    files: tuple[Path, ...], root: Path, backend: str, runner: Runner, scratch: Path
) -> dict[str, Any]:
    """Everything about one model, as one entry of the JSON."""
    name = name_of(files, root / "models")
    entry: dict[str, Any] = {"model": name}
    if len(files) > 1:
        entry["architecture"] = files[0].name
    try:
        network = loader.load(files, runner).network
    except EdgeflowError as error:
        return entry | {"inspect": {"error": _said(error, root)}, "results": []}
    totals = network.totals
    entry["inspect"] = {
        "format": network.source.get("format"),
        "layers": len(network.layers),
        "parameters": totals.parameters,
        "macs": totals.macs,
    }
    entry["results"] = [
        _attempt(files, name, network, aim, root, runner, scratch)
        for aim in aims(network)
        if fnmatch.fnmatch(aim.backend, backend)
    ]
    return entry


def _attempt(
    files: tuple[Path, ...],
    name: str,
    network: Network,
    aim: Aim,
    root: Path,
    runner: Runner,
    scratch: Path,
) -> dict[str, Any]:
    row: dict[str, Any] = {"aim": aim.title, "backend": aim.backend, "target": aim.target}
    try:
        problems = api.check(network, aim.target, backend=aim.backend, options=aim.options)
        if problems:
            return row | {"outcome": "unsupported", "reasons": _distinct(problems)}
        count = max(8, min(1000, int(aim.budget / max(1, network.totals.macs))))
        data, row["data"], labelled, count = _data(name, network, aim, count, root, scratch)
        recipe = Recipe(
            name="coverage",
            model=ModelSpec(file=files[0], weights=files[1] if files[1:] else None),
            data=DataSpec(file=data) if data else None,
            targets={aim.target: TargetSpec(backend=aim.backend, options=dict(aim.options))},
            verify_inputs=count,
        )
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            output = Path(folder) / "out"
            report = pipeline.run(recipe, output, runner, projects=output / "hls_projects")
    except EdgeflowError as error:
        return row | {"outcome": "failed", "reasons": [_said(error, root)]}
    except Exception as error:  # noqa: BLE001 - a fault of edgeflow's own is a row too
        return row | {"outcome": "fault", "reasons": [f"{type(error).__name__}: {error}"[:300]]}
    return row | _measured(report["targets"][aim.target], report["accuracy"], labelled)


def _measured(entry: Mapping[str, Any], reference: float | None, labelled: bool) -> dict[str, Any]:
    """The worst of the runtimes that decide."""
    checks = [check for check in entry["verification"] if check["deciding"]]
    worst = max(checks, key=lambda check: _or_inf(check["max_difference"]))
    found: dict[str, Any] = {
        "outcome": "works" if entry["verified"] else "differs",
        "inputs": worst["inputs"],
        "equal": _short(min(check["equal"] for check in checks)),
        "max_difference": _short(worst["max_difference"]),
        "agreement": _short(min(check["agreement"] for check in checks)),
        "allowed": _short(worst["tolerance"]["absolute"]),
        "agreement_wanted": _short(worst["tolerance"]["agreement"]),
        "compared": worst["compared"],
    }
    if rounding := entry.get("input_rounding"):
        found["input_type"] = rounding["type"]
    if worst["max_difference"] != 0:
        # which layers are rounded stands in the run's own report
        found["why"] = re.sub(r" places: .*", " places", worst["tolerance"]["reason"])
    if not entry["verified"] and worst["first_divergence"]:
        found["first_divergence"] = worst["first_divergence"]["layer"]
    if labelled:
        found["accuracy"] = _short(min(check["accuracy"] for check in checks))
        found["accuracy_model"] = _short(reference)
    return found


def _data(
    name: str, network: Network, aim: Aim, count: int, root: Path, scratch: Path
) -> tuple[Path | None, str, bool, int]:
    """The dataset's file, what it is in words, whether it has labels, how many inputs to take."""
    import numpy as np

    entry = network[network.inputs[0]]
    shape = tuple(dim or 1 for dim in entry.output_shape)
    known = next((data for data in DATA if fnmatch.fnmatch(name, data.pattern)), None)
    path = scratch / f"{name.replace('/', '_')}-{aim.title.replace(' ', '_')}.npz"
    if known:
        arrays = {
            role: array.astype("float32").reshape(-1, *shape) if role[0] == "x" else array
            for role, array in known.read(root).items()
        }
        total = len(arrays["x_test"])
        for role in ("x_test", "y_test") if "y_test" in arrays else ("x_test",):
            arrays[role] = arrays[role][: max(count, int(aim.budget / network.totals.macs))]
        np.savez(path, **arrays)
        tested = len(arrays["x_test"])
        words = known.words + (f" (the first {tested})" if tested < total else "")
        return path, words, "y_test" in arrays, tested
    bounds = next((b for b in RANGES if fnmatch.fnmatch(name, b[0])), None)
    random = np.random.default_rng(1)

    def draw(samples: int) -> np.ndarray:
        if bounds and entry.quantizer is None:
            return random.uniform(*bounds[1:], (samples, *shape)).astype(np.float32)
        return golden_job.draw(entry, (samples, *shape), random).astype(np.float32)

    int8 = aim.options.get("precision") == "int8"
    if not int8 and bounds is None:
        return None, "random", False, count
    np.savez(path, x_train=draw(CALIBRATION), x_test=draw(count))
    return path, "random, calibrated on random" if int8 else "random", False, count


def _arrays(path: Path) -> dict[str, np.ndarray]:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _distinct(problems: list[Any]) -> list[str]:
    """The problems' messages, those of many layers once."""
    layers: dict[str, list[str]] = {}
    for problem in problems:
        layers.setdefault(problem.message, []).append(problem.layer or "")
    return [
        (f"{names[0]}: " if names[0] else "")
        + message
        + (f" (and {len(names) - 1} more layers)" if len(names) > 1 else "")
        for message, names in layers.items()
    ]


def _said(error: EdgeflowError, root: Path) -> str:
    """The error without paths of this machine; its first details."""
    text = error.message + "".join(f"; {detail}" for detail in error.details[:3])
    return text.replace(f"{root}/", "").replace("\n", " ")[:400]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _or_inf(value: float | None) -> float:
    return float("inf") if value is None else value


def write(folder: Path, new: dict[str, Any] | None) -> None:
    """Both files, with the new entry; other processes may be at the same."""
    path = folder / "coverage.json"
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = json.loads(path.read_text())["models"] if path.is_file() else []
        entries = {entry["model"]: entry for entry in old}
        if new:
            entries[new["model"]] = merge(entries.get(new["model"]), new)
        coverage = {
            "schema": "edgeflow.coverage/1",
            "edgeflow": edgeflow.__version__,
            "models": [entries[name] for name in sorted(entries)],
        }
        path.write_text(json.dumps(coverage, indent=1, ensure_ascii=False) + "\n")
        (folder / "coverage.md").write_text(coverage_page.render(coverage))


def merge(old: Mapping[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The new entry with the old one's rows of backends that were not tried."""
    if old is None:
        return new
    tried = {row["aim"] for row in new["results"]}
    rows = [row for row in old["results"] if row["aim"] not in tried] + new["results"]
    order = [aim.title for aim in (HLS4ML, RTL, FLOAT32, AS_IT_IS, INT8, TPU)]
    return new | {"results": sorted(rows, key=lambda row: order.index(row["aim"]))}


def main() -> None:
    """Run, or only render."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="*", help="models whose name fits this pattern")
    parser.add_argument("--backend", default="*", help="this backend alone")
    parser.add_argument("--workers", type=int, default=2, help="models at a time")
    parser.add_argument("--output", type=Path, default=DOCS, help="folder of the two files")
    parser.add_argument("--render", action="store_true", help="no runs: render the JSON again")
    given = parser.parse_args()
    if given.render:
        write(given.output, None)
        return
    root = Path(os.environ.get("EDGEFLOW_DATA", ""))
    if not (root / "models").is_dir():
        sys.exit("EDGEFLOW_DATA must name the folder of models and datasets")
    root = root.resolve()
    chosen = [m for m in models(root / "models") if _fits(name_of(m, root / "models"), given.only)]
    guard = threading.Lock()
    local = threading.local()
    runners: list[Runner] = []

    def one(files: tuple[Path, ...]) -> None:
        if not hasattr(local, "runner"):
            local.runner = Bounded(workers=1)
            runners.append(local.runner)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            new = examine(files, root, given.backend, local.runner, Path(scratch))
        with guard:
            write(given.output, new)
            said = ", ".join(f"{row['aim']} {row['outcome']}" for row in new["results"])
            print(
                f"{new['model']}: {said or new['inspect']} ({time.monotonic() - started:.0f} s)",
                flush=True,
            )

    try:
        with ThreadPoolExecutor(max_workers=given.workers) as pool:
            for _ in pool.map(one, chosen):
                pass
    finally:
        for runner in runners:
            runner.close()


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name, f"*{pattern}*")


if __name__ == "__main__":
    main()
