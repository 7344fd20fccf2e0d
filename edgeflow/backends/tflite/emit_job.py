"""From a Network's Keras twin to one TensorFlow function for the TFLite converter.

Every layer gets a name scope of its own, so that tensors in the file can be traced back to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeflow.backends.tflite.plan_job import (
    PASSIVE,
    SCALING,
    Affine,
    Kernel,
    Plan,
    arrays,
    fused_into_next,
)
from edgeflow.frontends.folder_job import clean_name
from edgeflow.frontends.keras_maker_job import Function
from edgeflow.network import Layer, Network

RECURRENT = frozenset(["lstm", "gru", "simple_rnn"])


def scopes(network: Network) -> dict[str, str]:
    """A name scope for each layer: its name in the characters that TensorFlow allows, unique."""
    found: dict[str, str] = {}
    for layer in network:
        plain = re.sub(r"[^A-Za-z0-9_.]", "_", layer.name).strip("_") or "layer"
        plain = plain if re.match(r"[A-Za-z0-9.]", plain) else f"l{plain}"
        name, count = plain, 1
        while name in found.values():
            count += 1
            name = f"{plain}_{count}"
        found[layer.name] = name
    return found


def function(
    network: Network, weights: Mapping[str, np.ndarray], twin: Any, plan: Plan | None
) -> Callable[..., Any]:
    """A concrete function of one input batch of 1 per network input, and one output each.

    Args:
        network: the layers in order.
        weights: arrays by ``LAYER/ROLE``.
        twin: the Keras model; its layers are named as the Network's.
        plan: the fake quants; None for a plain float function.
    """
    import tensorflow as tf

    names = scopes(network)

    def compute(*inputs: Any) -> Any:
        values: dict[str, Any] = dict(zip(network.inputs, inputs, strict=True))
        for layer in network:
            with tf.name_scope(names[layer.name]):
                if layer.kind == "constant":
                    continue
                if layer.kind != "input":
                    # What reads constants has captured them.
                    read = [values[name] for name in layer.inputs if name in values]
                    values[layer.name] = _apply(layer, read, twin, weights, plan)
                if plan is None:
                    values[layer.name] = _rounded(layer, values[layer.name], twin)
                    continue
                if layer.name in plan.emitted:
                    affine = plan.activations[layer.name]
                    before = plan.activations.get(layer.inputs[0]) if layer.inputs else None
                    if layer.kind in PASSIVE and before is not None:
                        # Moving values keeps the scale; a second rounding then changes it.
                        values[layer.name] = _fake_quant(values[layer.name], before)
                    values[layer.name] = _fake_quant(values[layer.name], affine)
                if not fused_into_next(network, layer):
                    values[layer.name] = _shaped(layer, values[layer.name])
        return {names[name]: values[name] for name in network.outputs}

    signature = [
        tf.TensorSpec((1, *network[name].output_shape), tf.float32, name=names[name])
        for name in network.inputs
    ]
    traced = tf.function(compute, input_signature=signature, autograph=False)
    concrete: Callable[..., Any] = traced.get_concrete_function()
    return concrete


def _apply(
    layer: Layer, read: list[Any], twin: Any, weights: Mapping[str, np.ndarray], plan: Plan | None
) -> Any:
    if plan is not None and layer.kind in ("identity", "quantize", "dequantize"):
        return read[0]
    if plan is not None and layer.name in plan.kernels:
        return _multiply(layer, read[0], twin, weights, plan.kernels[layer.name])
    known = twin.get_layer(clean_name(layer.name))
    if layer.kind in RECURRENT:
        known.unroll = True  # Keras 3's loop converts to a file that crashes LiteRT 2.3
    return _call(known, read)


def _call(known: Any, read: list[Any]) -> Any:
    """A Keras layer with constants for variables, which the converter would keep as resources."""
    import tensorflow as tf

    with tf.init_scope():
        trained, other = (
            [np.asarray(variable) for variable in group]
            for group in (known.trainable_variables, known.non_trainable_variables)
        )
    found, _ = known.stateless_call(
        [tf.constant(value) for value in trained],
        [tf.constant(value) for value in other],
        *(read if isinstance(known, Function) or len(read) == 1 else [read]),
    )
    return found


def _rounded(layer: Layer, value: Any, twin: Any) -> Any:
    """The output through the twin's rounding layer, where it has one."""
    name = f"{clean_name(layer.name)}_rounding"
    rounding = next((known for known in twin.layers if known.name == name), None)
    return value if rounding is None else _call(rounding, [value])


def _multiply(
    layer: Layer, given: Any, twin: Any, weights: Mapping[str, np.ndarray], kernel: Kernel
) -> Any:
    """A layer with a fake-quantised kernel.

    A dense layer with one scale per channel becomes a convolution of window 1 x 1, because the
    converter cannot carry these scales through the transposition of a fully connected layer; a
    batch norm that stands alone becomes a depthwise one. `_shaped` gives back their shape.
    """
    import tensorflow as tf

    values, bias = arrays(layer, weights)
    if layer.kind == "dense" and len(kernel.scale) == 1:
        found = tf.linalg.matmul(given, quantized(layer, values, kernel))
    elif layer.kind == "dense":
        flat = tf.reshape(given, (-1, 1, 1, values.shape[0]))
        found = tf.nn.conv2d(flat, quantized(layer, values[None, None], kernel), 1, "VALID")
    elif layer.kind in SCALING:
        flat = tf.reshape(given, (-1, 1, 1, values.shape[-2])) if len(given.shape) != 4 else given
        depthwise = quantized(layer, values, kernel)
        found = tf.nn.depthwise_conv2d(flat, depthwise, [1, 1, 1, 1], "VALID")
    else:
        known = twin.get_layer(clean_name(layer.name))
        known.trainable = True
        variables = [quantized(layer, values, kernel)]
        if bias is not None:
            variables.append(tf.constant(bias, tf.float32))
        found, _ = known.stateless_call(variables, [], given)
        return found
    return found if bias is None else tf.nn.bias_add(found, tf.constant(bias, tf.float32))


def _shaped(layer: Layer, value: Any) -> Any:
    import tensorflow as tf

    shape = (1, *layer.output_shape)
    return value if tuple(value.shape) == shape else tf.reshape(value, shape)


def _fake_quant(value: Any, affine: Affine) -> Any:
    import tensorflow as tf

    if affine.floor is not None:
        value = tf.maximum(value, affine.floor)
    return tf.quantization.fake_quant_with_min_max_args(
        value,
        (-128 - affine.zero_point) * affine.scale,
        (127 - affine.zero_point) * affine.scale,
        num_bits=8,
        narrow_range=False,
    )


def quantized(layer: Layer, values: np.ndarray, kernel: Kernel) -> Any:
    """The kernel through a narrow-range fake quant, whose last axis is the output channels."""
    import tensorflow as tf

    if len(kernel.scale) == 1:
        end = 127 * kernel.scale[0]
        return tf.quantization.fake_quant_with_min_max_args(
            tf.constant(values), -end, end, num_bits=8, narrow_range=True
        )
    shape = values.shape
    if layer.kind.startswith("depthwise") or layer.kind in SCALING:
        values = values.reshape(*shape[:-2], -1)
    ends = (127 * np.asarray(kernel.scale)).astype(np.float32)
    found = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        tf.constant(values), -ends, ends, num_bits=8, narrow_range=True
    )
    return tf.reshape(found, shape) if values.shape != shape else found
