"""Datasets: from a file or a library into the dataset folder that training and verification read.

The folder holds ``data.npz`` (``x_train``, ``y_train``, ``x_test``, ``y_test``: inputs float32,
samples first; labels int64 for classification, float32 targets for regression, no ``y`` at all
for reconstruction, no ``y_train`` where the training inputs have no labels and serve only
calibration) and ``data.json``, which `check_fit` reads without numpy.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import DataError

TASKS: Final = ("classification", "regression", "reconstruction")
ARRAYS: Final = ("x_train", "y_train", "x_test", "y_test")
SKLEARN: Final[Mapping[str, tuple[float, tuple[int, ...]] | None]] = {
    "digits": (16.0, (8, 8, 1)),
    "iris": None,
    "wine": None,
    "breast_cancer": None,
}
"""Datasets inside scikit-learn; of images, what to divide by and the shape of a sample."""
FIGURES: Final = 1024
"""Most features whose own figures ``data.json`` lists."""


def load(
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Job: make the dataset folder.

    ``inputs["file"]`` is an ``.npz`` with ``x_train``, ``y_train``, ``x_test``, ``y_test``, or with
    ``x``, ``y`` to be split; without it ``params["source"]`` names a dataset of scikit-learn
    (``sklearn:digits``, images scaled to [0, 1]).

    Other ``params``, all optional: ``arrays`` (which array of the file plays which role, such as
    ``{"x_test": "x", "y_test": "y"}`` for a file without training data), ``test_fraction`` (0.25),
    ``seed`` (0) of the split, ``classes`` (how many the model tells apart), ``task`` (found from
    the labels where not given), ``flatten`` (each sample to one dimension), ``scale`` (a number to
    multiply inputs by; ``unit``: the training inputs to [0, 1]; ``standard``: each feature to mean
    0 and deviation 1 over the training inputs), ``limit`` (most training samples to keep).

    Returns:
        What ``data.json`` says. Where inputs were scaled, ``normalisation``: the word or number of
        ``scale``, and ``shift`` and ``factor`` (a number, or one for each feature of a flattened
        sample; null beyond `FIGURES` features) of ``(value - shift) * factor``.

    Raises:
        DataError: the dataset cannot be used; says why.
    """
    import numpy as np

    where = str(inputs["file"]) if "file" in inputs else str(params.get("source"))
    progress(0, 1, "reading the dataset")
    if "file" in inputs:
        found = _read(inputs["file"], params.get("arrays") or {})
        name = inputs["file"].stem
    else:
        found, name = _from_sklearn(where)
    for role in found:
        found[role] = _labels(found[role], where) if role.startswith("y") else found[role]
    _check(found, where)
    if "x" in found:
        found = _split(found, params, where)
    task = _task(found, params, where)
    classes = _classes(found, params, where) if task == "classification" else None
    for role in ("x_train", "x_test"):
        found[role] = np.asarray(found[role], np.float32)
    _limit(found, params)
    images = SKLEARN[name] if "file" not in inputs else None
    normalisation = _scale(found, params.get("scale"), images[0] if images else 1, where)
    if params.get("flatten"):
        for role in ("x_train", "x_test"):
            found[role] = found[role].reshape(len(found[role]), -1)
    kind = np.int64 if task == "classification" else np.float32
    for role in ("y_train", "y_test"):
        if task == "reconstruction":
            found.pop(role, None)
        elif role in found:
            found[role] = np.asarray(found[role], kind)
    arrays: dict[str, Any] = {
        role: np.ascontiguousarray(found[role]) for role in ARRAYS if role in found
    }
    _check(arrays, where)
    meta: dict[str, Any] = {
        "name": str(params.get("name") or name),
        "task": task,
        "classes": classes,
        "input_shape": list(arrays["x_test"].shape[1:]),
        "target_shape": list(arrays["y_test"].shape[1:]) if "y_test" in arrays else None,
        "train": len(arrays["x_train"]),
        "test": len(arrays["x_test"]),
        "labelled": "y_train" in arrays,
        "asked": params.get("task") is not None,
    }
    if "file" in inputs and classes and (names := _class_names(inputs["file"], classes)):
        meta["class_names"] = names
    if normalisation:
        meta["normalisation"] = normalisation
    np.savez_compressed(output / "data.npz", **arrays)
    (output / "data.json").write_text(json.dumps(meta, indent=1) + "\n")
    progress(1, 1, f"{meta['train']} samples to train with, {meta['test']} to test with")
    return meta


def check_fit(
    meta: Mapping[str, Any],
    input_shape: Sequence[int | None],
    output_shape: Sequence[int | None],
    *,
    where: str | None = None,
    training: bool = False,
) -> None:
    """Check that a model with these shapes (no batch dimension) can take the dataset.

    ``meta`` is what ``data.json`` says; a dimension of None fits any. With ``training`` there must
    be samples to train with.

    Raises:
        DataError: naming every misfit at once.
    """
    faults = []
    found = tuple(meta["input_shape"])
    remedy = "give the model's own dataset, or reshape it"
    if not _fits(input_shape, found):
        faults.append(f"the model takes inputs of shape {_show(input_shape)}, found {_show(found)}")
        if math.prod(found) == math.prod(dim or 0 for dim in input_shape) and len(input_shape) == 1:
            remedy = "set `flatten: true` for the data"
    if meta["task"] == "classification":
        outputs = output_shape[-1] if output_shape else None
        classes = meta["classes"]
        limit = 2 if outputs == 1 else outputs  # one output is a yes or no
        if limit is not None and classes is not None and classes > limit:
            faults.append(f"the model tells {limit} classes apart, the labels have {classes}")
    elif meta["task"] == "reconstruction":
        # Inputs without labels also serve to calibrate, whatever the model gives.
        needed = training or meta.get("asked", True)
        if needed and math.prod(d or 0 for d in output_shape) != math.prod(found):
            faults.append(
                f"a model that reconstructs its input gives {_show(found)}, "
                f"found an output of {_show(output_shape)}"
            )
    elif not _fits(output_shape, tuple(meta["target_shape"]) or (1,)):
        faults.append(
            f"the model gives outputs of shape {_show(output_shape)}, "
            f"the targets have {_show(meta['target_shape'])}"
        )
    if training and not meta["train"]:
        faults.append("expected samples to train with, found none (there are only test samples)")
    elif training and meta["task"] != "reconstruction" and not meta.get("labelled", True):
        faults.append("expected labels to train with (y_train), found none")
    if faults:
        raise DataError(
            f"the dataset '{meta['name']}' does not fit the model: {faults[0]}",
            where=where,
            details=faults[1:],
            remedy=remedy,
        )


def _fits(wanted: Sequence[int | None], found: Sequence[int]) -> bool:
    return len(wanted) == len(found) and all(
        want is None or want == have for want, have in zip(wanted, found, strict=True)
    )


def _show(shape: Sequence[int | None]) -> str:
    return "(" + " x ".join("?" if dim is None else str(dim) for dim in shape) + ")"


def _read(path: Path, roles: Mapping[str, str]) -> dict[str, Any]:
    """The arrays of the file by role."""
    import numpy as np

    where = str(path)
    try:
        with path.open("rb") as handle:
            file = np.load(handle, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(
                    "expected an .npz file, found a single array",
                    where=where,
                    remedy="save it with numpy.savez(FILE, x=..., y=...)",
                )
            names = list(file.files)
            wanted = dict(roles) or _guess(names, where)
            if missing := sorted(set(wanted.values()) - set(names)):
                raise DataError(
                    f"expected arrays {', '.join(missing)}, found {', '.join(names) or 'none'}",
                    where=where,
                )
            return {role: file[name] for role, name in wanted.items()}
    except OSError as error:
        raise DataError(
            f"cannot read the dataset: {error.strerror or error}", where=where
        ) from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if "pickle" in str(error).lower():
            raise DataError(
                "the dataset holds pickled Python objects, which edgeflow does not load, "
                "or it is no .npz file",
                where=where,
                remedy="save plain numeric arrays with numpy.savez",
            ) from None
        raise DataError(f"expected an .npz file of arrays: {error}", where=where) from None


def _class_names(path: Path, classes: int) -> list[str] | None:
    """The array ``class_names`` of the file, where it names each class."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        if "class_names" not in stored.files or stored["class_names"].dtype.kind != "U":
            return None
        names = [str(name) for name in stored["class_names"].ravel()]
    return names if len(names) == classes else None


def _guess(names: Sequence[str], where: str) -> dict[str, str]:
    by_lower = {name.lower(): name for name in names}
    for roles in (
        ARRAYS, ("x_train", "x_test", "y_test"), ("x_train", "x_test"),
        ("x", "y"), ("x_test", "y_test"), ("x",),
    ):  # fmt: skip
        if all(role in by_lower for role in roles):
            return {role: by_lower[role] for role in roles}
    raise DataError(
        "expected arrays x_train, y_train, x_test, y_test, or x, y; "
        f"found {', '.join(names) or 'none'}",
        where=where,
        remedy="name them in the recipe: `arrays: {x_train: NAME, ...}`",
    )


def _from_sklearn(source: str) -> tuple[dict[str, Any], str]:
    from sklearn import datasets

    origin, _, name = source.partition(":")
    if origin != "sklearn" or name not in SKLEARN:
        raise DataError(
            f"expected a dataset of {', '.join(f'sklearn:{known}' for known in sorted(SKLEARN))} "
            f"or an .npz file, found '{source}'"
        )
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    image = SKLEARN[name]
    if image:
        largest, shape = image
        x = (x / largest).reshape(-1, *shape)
    return {"x": x, "y": y}, name


def _labels(y: Any, where: str) -> Any:
    """One-hot rows become integers; a column of one becomes a vector."""
    import numpy as np

    if y.dtype.kind not in "fiub":
        raise DataError(f"expected numbers as labels, found {y.dtype}", where=where)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and len(y) and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        return y.argmax(axis=1)
    return y


def _check(found: Mapping[str, Any], where: str) -> None:
    """Nothing empty (but training arrays where there are none), all finite, lengths equal."""
    import numpy as np

    for role, array in found.items():
        if array.dtype.kind not in "fiub":
            raise DataError(f"expected numbers in '{role}', found {array.dtype}", where=where)
        if role.startswith("x") and array.ndim < 2:
            raise DataError(
                f"expected samples along the first axis of '{role}' and their values along "
                f"others, found shape {array.shape}",
                where=where,
            )
        if array.size == 0 and not (role.endswith("_train") and len(array) == 0):
            raise DataError(f"the dataset is empty: '{role}' has shape {array.shape}", where=where)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
            raise DataError(
                f"'{role}' has NaN or infinite values in {len(bad)} of {len(array)} samples, "
                f"the first is sample {bad[0]}",
                where=where,
                remedy="remove or repair these samples",
            )
    for x, y in (("x", "y"), ("x_train", "y_train"), ("x_test", "y_test")):
        if x in found and y in found and len(found[x]) != len(found[y]):
            raise DataError(
                f"expected as many labels as samples, found {len(found[x])} in '{x}' and "
                f"{len(found[y])} in '{y}'",
                where=where,
            )
    if "x_train" in found and "x_test" in found and len(found["x_train"]):
        train, test = found["x_train"].shape[1:], found["x_test"].shape[1:]
        if train != test:
            raise DataError(
                f"expected one shape of samples, found {train} to train with and {test} to test",
                where=where,
            )


def _split(found: Mapping[str, Any], params: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Set a part aside for the test: of each class the same fraction, chosen by the seed."""
    import numpy as np

    fraction = float(params.get("test_fraction", 0.25))
    if not 0 < fraction < 1:
        raise DataError(f"expected a test_fraction between 0 and 1, found {fraction}", where=where)
    x, y = found["x"], found.get("y")
    test = split(y, len(x), fraction, int(params.get("seed", 0)))
    if not 0 < test.sum() < len(x):
        raise DataError(
            f"{len(x)} samples are too few to set a fraction of {fraction:g} aside", where=where
        )
    parts = {"x_train": x[~test], "x_test": x[test]}
    if y is not None:
        parts |= {"y_train": y[~test], "y_test": y[test]}
    return {role: np.ascontiguousarray(array) for role, array in parts.items()}


def split(y: Any, count: int, fraction: float, seed: int) -> Any:
    """Which of `count` samples to set aside, as booleans; stratified where `y` is integers."""
    import numpy as np

    generator = np.random.default_rng(seed)
    aside = np.zeros(count, bool)
    whole = y is not None and y.ndim == 1 and (y.dtype.kind in "iub" or (y == np.round(y)).all())
    groups = [np.flatnonzero(y == label) for label in np.unique(y)] if whole else []
    if not groups or min(len(group) for group in groups) * fraction < 1:
        groups = [np.arange(count)]
    for group in groups:
        aside[generator.permutation(group)[: round(len(group) * fraction)]] = True
    return aside


def _task(found: dict[str, Any], params: Mapping[str, Any], where: str) -> str:
    import numpy as np

    if "x_test" not in found:
        raise DataError("expected test samples (x_test)", where=where)
    if "x_train" not in found:
        found["x_train"] = found["x_test"][:0]
        if "y_test" in found:
            found["y_train"] = found["y_test"][:0]
    labelled = "y_test" in found
    task = params.get("task")
    if task is None:
        if not labelled:
            return "reconstruction"
        y = found["y_test"]
        return "classification" if y.ndim == 1 and np.array_equal(y, np.round(y)) else "regression"
    if task not in TASKS:
        raise DataError(f"expected a task of {', '.join(TASKS)}, found '{task}'", where=where)
    if task != "reconstruction" and not labelled:
        raise DataError(
            f"expected labels (y_test) for {task}, found none",
            where=where,
            remedy="name the arrays in the recipe: `arrays: {y_test: NAME, ...}`",
        )
    return str(task)


def _classes(found: Mapping[str, Any], params: Mapping[str, Any], where: str) -> int:
    import numpy as np

    labels = np.concatenate([found[role] for role in ("y_train", "y_test") if role in found])
    if labels.ndim != 1 or not np.array_equal(labels, np.round(labels)):
        raise DataError("expected one whole number as the label of each sample", where=where)
    classes = int(params.get("classes") or labels.max() + 1)
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"expected labels from 0 to {classes - 1}, "
            f"found {int(labels.min())} to {int(labels.max())}",
            where=where,
            remedy="number the classes from 0, or set the right `classes`",
        )
    return classes


def _limit(found: dict[str, Any], params: Mapping[str, Any]) -> None:
    """Keep at most `limit` of the training samples, chosen by the seed, in their order."""
    import numpy as np

    if not params.get("limit"):
        return
    order = np.random.default_rng(int(params.get("seed", 0))).permutation(len(found["x_train"]))
    kept = np.sort(order[: int(params["limit"])])
    for role in ("x_train", "y_train"):
        if role in found:
            found[role] = found[role][kept]


def _scale(found: dict[str, Any], scale: Any, divided: float, where: str) -> dict[str, Any] | None:
    """Scale the inputs in place; the figures come from the training inputs alone.

    Returns what was done to the source's own values, which were `divided` before; None: nothing.
    """
    import numpy as np

    train = found["x_train"] if len(found["x_train"]) else found["x_test"]
    shift: Any = np.float32(0)
    factor: Any
    if scale is None:
        return _figures(None, shift, 1 / divided) if divided != 1 else None
    if scale == "unit":
        shift = train.min()
        factor = 1 / max(float(train.max() - shift), 1e-12)
    elif scale == "standard":
        shift = train.mean(axis=0)
        deviation = train.std(axis=0)
        factor = 1 / np.where(deviation > 0, deviation, 1)
    elif isinstance(scale, (int, float)) and not isinstance(scale, bool):
        factor = scale
    else:
        raise DataError(
            f"expected scale to be a number, 'unit' or 'standard', found '{scale}'", where=where
        )
    for role in ("x_train", "x_test"):
        found[role] = ((found[role] - shift) * np.float32(factor)).astype(np.float32)
    return _figures(scale, shift * divided, factor / divided)


def _figures(scale: Any, shift: Any, factor: Any) -> dict[str, Any]:
    """The normalisation as JSON; the numbers are the shortest that are the same in float32."""
    import numpy as np

    def plain(value: Any) -> Any:
        listed = [float(str(item)) for item in np.asarray(value, np.float32).ravel()]
        return (listed if len(listed) <= FIGURES else None) if np.ndim(value) else listed[0]

    return {"scale": scale, "shift": plain(shift), "factor": plain(factor)}
