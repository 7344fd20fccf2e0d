"""The job that makes a .tflite file from a model's Network and weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow import __version__
from edgeflow.backends.tflite import emit_job, file_job, plan_job, samples_job
from edgeflow.errors import JobError, ModelError, UnsupportedError
from edgeflow.frontends import keras_build_job
from edgeflow.frontends.folder_job import clean_name
from edgeflow.network import Network


def convert(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Write ``model.tflite``, ``trace.tflite`` (the same with its inner tensors as outputs) and
    ``model.json`` (what it holds, and ``layers``: the tensor of each Network layer that is still
    in the file).

    ``inputs``: ``model`` (a Model's folder), maybe ``data`` (``data.npz``).
    ``params``: ``precision``, ``input_type``, ``output_type``, ``calibration_samples``, maybe
    ``dense_scales`` (``one``: a scale for the whole kernel), maybe
    ``labels`` (class names), ``normalisation`` (what was done to the dataset's inputs, see
    `edgeflow.data_job.load`; for the metadata) and ``metadata`` (whether to write signature and
    metadata; None: into every file but one that is copied, which stays as it is to the byte).

    Result: ``precision``, ``route`` (``copied``, ``converted``, ``calibrated``, ``trained``),
    ``bytes``, ``op_counts``, ``float_operators``, ``inputs``, ``outputs`` (type, shape, scale,
    zero point), and for the route ``trained`` ``quantisers`` (how many of the model's were found
    again, how many ranges had to be measured, the kernels that were rounded anew).

    Raises:
        UnsupportedError: the converter or the file's precision does not allow it.
        DataError: calibration data are missing or do not fit.
    """
    folder = inputs["model"]
    network = Network.load(folder / "network.json")
    with np.load(folder / "weights.npz", allow_pickle=False) as stored:
        weights = {name: stored[name] for name in stored.files}
    record = json.loads((folder / "model.json").read_text())
    extra: dict[str, Any] = {}
    folded: dict[str, str] = {}
    if record["format"] == "tflite" and (copied := _copy(folder / record["source"][0], params)):
        content, info, route = *copied, "copied"
    elif params["precision"] == "int8" and network.quantized:
        progress(0, 2, "placing the trained quantisers")
        network, weights, folded = plan_job.fold(network, weights)
        content, plan = _trained(network, weights, inputs.get("data"), params)
        content = _in_order(content, network)
        info, route = file_job.describe(content), "trained"
        extra["quantisers"] = _compare(plan, network, info)
    else:
        progress(0, 2, "converting")
        calibrated = params["precision"] in ("int8", "16x8")
        # A float file rounds activations as the model does, in float operators.
        rounding = network.quantized and not calibrated
        network, weights, folded = plan_job.fold(network, weights)
        samples = _samples(inputs.get("data"), network, params) if calibrated else None
        content = _in_order(_plain(network, weights, params, samples, rounding), network)
        info, route = file_job.describe(content), "calibrated" if calibrated else "converted"
    labels = params.get("labels")
    if labels:
        (output / "labels.txt").write_text("\n".join(labels) + "\n")
    keep = params.get("metadata")
    if keep or (keep is None and route != "copied"):
        content = _signed(content, info, network, params, route, labels)
        info = file_job.describe(content)
    (output / "model.tflite").write_bytes(content)
    layers = _layers(network, info, named=route == "copied")
    if route == "converted":
        # A rounding in float ends with a multiplication that the converter moves elsewhere.
        rounded = {layer.name for layer in network if layer.quantizer}
        layers = {name: index for name, index in layers.items() if name not in rounded}
    for norm, name in folded.items():
        if name in layers:
            layers[norm] = layers.pop(name)
    (output / "trace.tflite").write_bytes(file_job.with_outputs(content, layers.values()))
    facts = {
        "precision": params["precision"],
        "route": route,
        "bytes": info["bytes"],
        "op_counts": info["op_counts"],
        "float_operators": [info["operators"][i]["op"] for i in info["float_operators"]],
        "inputs": [_port(info, i) for i in info["inputs"]],
        "outputs": [_port(info, i) for i in info["outputs"]],
        "labels": labels,
        "notes": [_table(info), *_graphs(info)],
        **extra,
    }
    (output / "model.json").write_text(
        json.dumps(
            {**facts, "layers": layers, "operators": info["operators"], "tensors": info["tensors"]}
        )
    )
    return facts


def _graphs(info: dict[str, Any]) -> list[str]:
    if info["subgraphs"] == 1:
        return []
    said = "loops, branches or further signatures; the first one was run and counted"
    return [f"the file has {info['subgraphs']} subgraphs ({said})"]


def _table(info: dict[str, Any]) -> str:
    """The operators and the size in one line."""
    many = ", ".join(f"{name} {count}" for name, count in info["op_counts"].items())
    floats = len(info["float_operators"])
    return (
        f"{info['bytes']:,} bytes, {len(info['operators'])} operators ({many}), {floats} on floats"
    )


def _signed(
    content: bytes,
    info: dict[str, Any],
    network: Network,
    params: Mapping[str, Any],
    route: str,
    labels: list[str] | None,
) -> bytes:
    """The file with its signature, whose names are the model's own, and with what it is."""
    names = emit_job.scopes(network)
    ports = {
        side: [names.get(name, name) for name in wanted]
        for side, wanted in (("inputs", network.inputs), ("outputs", network.outputs))
    }
    for side, named in ports.items():
        if len(named) != len(info[side]):
            ports[side] = [f"{side[:-1]}_{index}" for index in range(len(info[side]))]
    about = {
        "format": "edgeflow.tflite/1",
        "edgeflow": __version__,
        "model": network.name,
        "source": {
            key: network.source[key] for key in ("format", "sha256") if key in network.source
        },
        "precision": params["precision"],
        "route": route,
        **{
            side: [
                {**_port(info, index), "name": name}
                for name, index in zip(ports[side], info[side], strict=True)
            ]
            for side in ("inputs", "outputs")
        },
        "real_value": "scale * (stored - zero_point); a float tensor takes the model's own values",
        "labels": labels,
    }
    if len(about["inputs"]) == 1 and params.get("normalisation"):
        given = {**params["normalisation"], "real_value": "(raw - shift) * factor"}
        about["inputs"][0]["normalisation"] = given
    return file_job.with_metadata(content, ports["inputs"], ports["outputs"], about)


def _port(info: dict[str, Any], index: int) -> dict[str, Any]:
    tensor = info["tensors"][index]
    return {key: tensor[key] for key in ("name", "type", "shape", "scale", "zero_point")}


def _copy(path: Path, params: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]] | None:
    """The model's own file where it already is what is wanted; None where it can be made from it.

    Raises:
        UnsupportedError: it is quantised in another way.
    """
    content, info = file_job.load(path)
    have, want = file_job.precision_of(info), params["precision"]
    if have == want:
        for way in ("input", "output"):
            types = {info["tensors"][i]["type"] for i in info[f"{way}s"]}
            if params[f"{way}_type_given"] and params[f"{way}_type"] not in types:
                raise UnsupportedError(
                    f"expected {way} {params[f'{way}_type']}, found {', '.join(sorted(types))}",
                    where=path.name,
                    remedy=f"leave {way}_type out, or start from the float model",
                )
        return content, info
    if have in ("int8", "16x8"):
        raise UnsupportedError(
            f"the file is quantised already ({have}), asked for {want}",
            where=path.name,
            remedy=f"ask for precision: {have}, or start from the float model",
        )
    return None


def _in_order(content: bytes, network: Network) -> bytes:
    if len(network.outputs) == 1:
        return content
    names = emit_job.scopes(network)
    return file_job.with_order(content, [names[name] for name in network.outputs])


def _plain(
    network: Network,
    weights: Mapping[str, np.ndarray],
    params: Mapping[str, Any],
    samples: np.ndarray | None,
    rounding: bool,
) -> bytes:
    """Float files, and what the converter quantises by itself."""
    import tensorflow as tf

    precision = params["precision"]
    twin = keras_build_job.build(network, weights, quantize=rounding)
    converter = _converter(emit_job.function(network, weights, twin, None), twin)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if samples is not None:
        kinds = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            kinds.TFLITE_BUILTINS_INT8
            if precision == "int8"
            else kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]

        def batches() -> Iterator[list[np.ndarray]]:
            for row in samples:
                yield [row[None]]

        converter.representative_dataset = batches
        # A scale for each output is the more exact; some kernels take but one for a dense layer.
        one = params.get("dense_scales") == "one"
        converter._experimental_disable_per_channel_quantization_for_dense_layers = one
        _types(converter, params)
    return _run(converter)


def _trained(
    network: Network,
    weights: Mapping[str, np.ndarray],
    data: Path | None,
    params: Mapping[str, Any],
) -> tuple[bytes, plan_job.Plan]:
    """An int8 file with the model's own quantisers; ranges that it has not are measured."""
    import tensorflow as tf

    twin = keras_build_job.build(network, weights)
    lacking = plan_job.missing(network)
    ranges = _ranges(twin, lacking, _samples(data, network, params)) if lacking else {}
    plan = plan_job.make(network, weights, ranges)
    converter = _converter(emit_job.function(network, weights, twin, plan), twin)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    _types(converter, params)
    return _run(converter), plan


def _converter(concrete: Any, twin: Any) -> Any:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], twin)


def _types(converter: Any, params: Mapping[str, Any]) -> None:
    import tensorflow as tf

    converter.inference_input_type = getattr(tf, params["input_type"])
    converter.inference_output_type = getattr(tf, params["output_type"])


def _run(converter: Any) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        content: bytes = converter.convert()
    except (ConverterError, RuntimeError, ValueError) as error:
        lines = [line for line in str(error).splitlines() if "error:" in line] or [str(error)]
        said = lines[-1].split("error:")[-1].strip()[:300]
        raise UnsupportedError(
            f"the TFLite converter refused the model: {said}",
            remedy="try another precision, or leave out the layer that it names",
        ) from error
    return content


def _samples(data: Path | None, network: Network, params: Mapping[str, Any]) -> np.ndarray:
    instead = "a precision of float32, float16 or dynamic"
    return samples_job.samples(data, network, params["calibration_samples"], instead)


def _ranges(twin: Any, names: list[str], samples: np.ndarray) -> dict[str, tuple[float, float]]:
    """Least and largest value of the layers' outputs over the samples."""
    import keras

    probe = keras.Model(twin.inputs, [twin.get_layer(clean_name(name)).output for name in names])
    found: dict[str, tuple[float, float]] = {}
    for start in range(0, len(samples), 32):
        values = probe(samples[start : start + 32], training=False)
        for name, value in zip(
            names, values if isinstance(values, list) else [values], strict=True
        ):
            array = np.asarray(value)
            if not np.isfinite(array).all():
                raise ModelError("the outputs are not finite", where=f"layer '{name}'")
            low, high = found.get(name, (0.0, 0.0))
            found[name] = (min(low, float(array.min())), max(high, float(array.max())))
    return found


def _compare(plan: plan_job.Plan, network: Network, info: dict[str, Any]) -> dict[str, Any]:
    """Check that the file has the plan's quantisers and no others, and nothing computes on floats.

    Raises:
        JobError: a scale was lost or made up, or an operator stayed in float.
    """
    tensors = info["tensors"]
    floats = [
        f"{info['operators'][i]['op']} ({tensors[info['operators'][i]['outputs'][0]]['name']})"
        for i in info["float_operators"]
    ]
    produced = {i for op in info["operators"] for i in op["outputs"]} | set(info["inputs"])
    have = {
        (tensors[i]["scale"][0], tensors[i]["zero_point"][0])
        for i in produced
        if tensors[i]["type"] == "int8" and tensors[i]["scale"]
    }
    stored = [t["scale"] for t in tensors if t["constant"] and t["type"] == "int8" and t["scale"]]
    lost = [
        f"layer '{name}': scale {want.scale:.6g}, zero point {want.zero_point}"
        for name, want in plan.activations.items()
        if name in plan.emitted and not any(_same(want, *pair) for pair in have)
    ]
    lost += [
        f"kernel of '{name}'"
        for name, want in plan.kernels.items()
        if not any(_same_scales(want.scale, scale) for scale in stored)
    ]
    invented = [
        f"scale {scale:.6g}, zero point {zero}"
        for scale, zero in sorted(have)
        if not any(_same(want, scale, zero) for want in plan.activations.values())
    ]
    if floats or lost or invented:
        raise JobError(
            "the converter did not keep the model's quantisers",
            details=[
                *(f"computes in float: {item}" for item in floats),
                *(f"lost: {item}" for item in lost),
                *(f"made up: {item}" for item in invented),
            ][:20],
            remedy="ask for another precision (float32, dynamic), and report this model",
        )
    own = [a for name, a in plan.activations.items() if name in plan.emitted]
    return {
        "activations": len(own),
        "measured": sorted(n for n in plan.emitted if not plan.activations[n].trained),
        "kernels": len(plan.kernels),
        "rounded_kernels": sorted(name for name, k in plan.kernels.items() if not k.exact),
        "layers": [layer.name for layer in network if layer.name in plan.emitted],
    }


def _same(want: plan_job.Affine, scale: float, zero: int) -> bool:
    return abs(scale - want.scale) <= 1e-5 * want.scale and zero == want.zero_point


def _same_scales(want: tuple[float, ...], found: list[float]) -> bool:
    """A kernel's scales; the file may repeat a single one, or join equal ones."""
    one, other = np.asarray(want), np.asarray(found)
    if len(one) != len(other) and 1 not in (len(one), len(other)):
        return False
    return bool(np.allclose(one, other, rtol=1e-5, atol=0))


def _layers(network: Network, info: dict[str, Any], named: bool) -> dict[str, int]:
    """The tensor that holds each layer's output; layers that were fused away are left out.

    The converter joins the names of fused operations with ``;``; each begins with its layer's
    scope. A layer that is fused with its only follower has its tensor given to that follower.
    """
    tensors = info["tensors"]
    known = {layer.name: layer.name for layer in network} if named else emit_job.scopes(network)
    order = {scope: index for index, scope in enumerate(known.values())}
    by_index = list(known)
    found: dict[str, int] = {}
    for operator in info["operators"]:
        for index in operator["outputs"]:
            name = tensors[index]["name"]
            parts = [name] if named else [part.split("/")[0] for part in name.split(";")]
            mentioned = [order[part] for part in parts if part in order]
            if mentioned:
                layer = network[by_index[max(mentioned)]]
                if _size(tensors[index]["shape"]) == layer.output_size:
                    found[layer.name] = index
    found.update(zip(network.inputs, info["inputs"], strict=False))
    found.update(zip(network.outputs, info["outputs"], strict=False))
    if named:
        return found
    for layer in reversed(network.layers):
        following = network.consumers[layer.name]
        if layer.name in found and len(following) == 1 and layer.kind != "input":
            then = following[0]
            if then.name not in found and then.kind in (
                "relu",
                "batch_norm",
                "identity",
                "quantize",
            ):
                found[then.name] = found.pop(layer.name)
    return found


def _size(shape: list[int]) -> int:
    return int(np.prod(shape)) if shape else 1
