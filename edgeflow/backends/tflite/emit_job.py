"""From a Network's Keras twin to one TensorFlow function for the TFLite converter.

Every layer gets a name scope of its own, so that tensors in the file can be traced back to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeflow.backends.tflite.plan_job import Affine, Kernel, Plan
from edgeflow.network import Layer, Network


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
                if layer.kind != "input":
                    read = [values[name] for name in layer.inputs]
                    values[layer.name] = _apply(layer, read, twin, weights, plan)
                if plan is not None and layer.name in plan.emitted:
                    values[layer.name] = _fake_quant(
                        values[layer.name], plan.activations[layer.name]
                    )
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
    import tensorflow as tf

    if layer.kind in ("identity", "quantize", "dequantize") and plan is not None:
        return read[0]
    known = twin.get_layer(layer.name)
    given: Any = read[0] if len(read) == 1 else read
    if plan is None or layer.name not in plan.kernels:
        # Constants instead of variables: the converter would keep those as resources.
        with tf.init_scope():
            trained, other = (
                [np.asarray(variable) for variable in group]
                for group in (known.trainable_variables, known.non_trainable_variables)
            )
        found, _ = known.stateless_call(
            [tf.constant(value) for value in trained],
            [tf.constant(value) for value in other],
            given,
        )
        return found
    kernel = plan.kernels[layer.name]
    values = weights[f"{layer.name}/kernel"].astype(np.float32)
    bias = weights.get(f"{layer.name}/bias")
    if layer.kind == "dense" and len(kernel.scale) > 1:
        # The converter cannot carry per-channel fake quants through the transposition of a
        # fully connected layer; the same sums as a convolution of window 1 x 1.
        flat = tf.reshape(given, (-1, 1, 1, values.shape[0]))
        found = tf.nn.conv2d(flat, quantized(layer, values[None, None], kernel), 1, "VALID")
        if bias is not None:
            found = tf.nn.bias_add(found, tf.constant(bias, tf.float32))
        return tf.reshape(found, (*given.shape[:-1], values.shape[1]))
    if layer.kind == "dense":
        found = tf.linalg.matmul(given, quantized(layer, values, kernel))
        return found if bias is None else tf.nn.bias_add(found, tf.constant(bias, tf.float32))
    known.trainable = True
    variables = [quantized(layer, values, kernel)]
    if bias is not None:
        variables.append(tf.constant(bias, tf.float32))
    found, _ = known.stateless_call(variables, [], given)
    return found


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
    if layer.kind.startswith("depthwise"):
        values = values.reshape(*shape[:-2], -1)
    ends = (127 * np.asarray(kernel.scale)).astype(np.float32)
    found = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        tf.constant(values), -ends, ends, num_bits=8, narrow_range=True
    )
    return tf.reshape(found, shape) if values.shape != shape else found
