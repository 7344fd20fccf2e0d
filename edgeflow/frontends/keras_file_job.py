"""Opens Keras files safely: their description is judged before the framework sees them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeflow.errors import EdgeflowError, ModelError
from edgeflow.frontends.keras_scan_job import LEGACY, Scanned, read_config, refuse, without
from edgeflow.frontends.keras_v3_job import as_qkeras, passive, set_weights


def open_model(folder: Path) -> Any:
    """The framework's own model object of a model folder (tf-keras or Keras 3)."""
    record = json.loads((folder / "model.json").read_text())
    files = [folder / name for name in record["source"]]
    model, _ = open_file(files[0], files[1] if len(files) > 1 else None, files[0].name)
    return model


def open_file(path: Path, weights: Path | None, where: str) -> tuple[Any, Scanned]:
    """Load a Keras file safely: its description is judged before the framework sees it.

    Raises:
        ModelError: code, unknown classes, damage, or weights that do not fit.
    """
    try:
        scanned = read_config(path)
        config = {k: v for k, v in scanned.config.items() if k != "compile_config"}
        known, custom = _vocabulary(scanned.format)
        config = without(config, known)
        refuse(Scanned(scanned.format, config, scanned.keras_version), known, where)
        model = _open(path, weights, where, scanned, config, custom)
    except EdgeflowError as error:
        error.where = where
        raise
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a framework raises anything on a wrong file
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            f"Keras cannot read the model: {type(error).__name__}: {(lines or [''])[0][:300]}",
            where=where,
            remedy="save it again with the Keras that trained it, as .keras or .h5",
        ) from None
    if not model.inputs:
        raise ModelError(
            "the model does not know its input shape",
            where=where,
            remedy="call the model once, or give it an Input layer, before saving it",
        )
    return model, scanned


def _open(
    path: Path,
    weights: Path | None,
    where: str,
    scanned: Scanned,
    config: Mapping[str, Any],
    custom: Any,
) -> Any:
    legacy = scanned.format in LEGACY
    if scanned.format == "qkeras_v3":
        return set_weights(_from_config(as_qkeras(config), custom, legacy=True), path)
    if scanned.format == "qkeras":
        config = passive(config)
    source = weights or path
    if _is_zip(path):
        if scanned.format != "qkeras":
            saving = _keras(scanned.format).saving
            return saving.load_model(path, custom_objects=custom, compile=False, safe_mode=True)
        source = Path("model.weights.h5").absolute()  # in the job's scratch folder
        with zipfile.ZipFile(path) as archive:
            source.write_bytes(archive.read("model.weights.h5"))
    with source.open("rb") as handle:
        if handle.read(4) != b"\x89HDF":
            raise ModelError(
                "expected weights in HDF5 beside the architecture, found none",
                where=where,
                remedy="give the weights' file too: MODEL.json MODEL_weights.h5",
            )
    if source == path and not legacy:
        models = _keras(scanned.format).models
        return models.load_model(_as_h5(path), custom_objects=custom, compile=False)
    model = _from_config(config, custom, legacy=legacy)
    if model.inputs:
        model.load_weights(str(source if source.name == "model.weights.h5" else _as_h5(source)))
    return model


def _is_zip(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(2) == b"PK"


def _as_h5(source: Path) -> str:
    """The file under a name in the scratch folder that ends as Keras expects."""
    link = Path("model.h5").absolute()
    link.unlink(missing_ok=True)
    link.symlink_to(source.absolute())
    return str(link)


def _from_config(config: Mapping[str, Any], custom: Any, *, legacy: bool) -> Any:
    keras = _keras("keras2" if legacy else "keras3")
    return keras.models.model_from_json(json.dumps(config), custom_objects=custom)


def _keras(model_format: str) -> Any:
    if model_format in LEGACY:
        import tf_keras

        return tf_keras
    import keras

    return keras


def _vocabulary(model_format: str) -> tuple[frozenset[str], dict[str, Any]]:
    """The class and function names that a model may use, and the custom objects among them."""
    keras = _keras(model_format)
    known = {"Functional", "Model", "Sequential", "InputLayer"}
    for place in ("layers", "initializers", "regularizers", "constraints", "activations"):
        known |= {name for name in dir(getattr(keras, place)) if not name.startswith("_")}
    known -= {"Lambda", "deserialize", "serialize", "get", "TorchModuleWrapper", "TFSMLayer",
              "JaxLayer", "FlaxLayer"}  # fmt: skip
    custom: dict[str, Any] = {}
    if model_format in LEGACY:
        from qkeras.utils import _add_supported_quantized_objects

        from edgeflow.frontends import legacy_job

        _add_supported_quantized_objects(custom)
        custom = {**legacy_job.objects(), **custom}
        known |= {"TFOpLambda", "SlicingOpLambda"}
    elif model_format == "hgq2":
        import hgq.layers
        import hgq.quantizer
        from keras.saving import get_custom_objects

        known |= {name.rpartition(">")[2] for name in get_custom_objects() if ">" in name}
        known |= {name for name in dir(hgq.layers) if name[0].isupper()}
    else:
        known |= {name for name in dir(keras.ops) if not name.startswith("_")} | _OPERATIONS
    return frozenset(known | set(custom)), custom


# Operations of keras.ops as a functional model names them.
_OPERATIONS = {
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Relu", "Relu6",
    "Sigmoid", "Tanh", "Softmax", "Silu", "Gelu", "Elu", "Reshape", "Transpose", "Mean", "Max",
    "Sum", "Concatenate", "GetItem", "Matmul", "Squeeze", "ExpandDims", "HardSigmoid", "HardSilu",
    "LeakyRelu",
}  # fmt: skip
