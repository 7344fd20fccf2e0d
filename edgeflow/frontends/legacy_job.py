"""Layers that published models use and no released library holds, for tf-keras.

``QDenseBatchnorm``: QKeras' development branch (MLPerf Tiny's AD08 by hls4ml).
``BinaryDense``, ``TernaryDense``, ``binary_tanh``, ``ternary_tanh``, ``relu1``, ``Clip``: the
layers of Courbariaux et al. (arXiv:1602.02830) as hls4ml's examples use them. Inference only.
"""

from __future__ import annotations

from typing import Any

NAMES = frozenset(
    [
        "QDenseBatchnorm",
        "BinaryDense",
        "TernaryDense",
        "binary_tanh",
        "ternary_tanh",
        "relu1",
        "Clip",
    ]
)


def objects() -> dict[str, Any]:
    """The custom objects by name; call it in the toolchain `qkeras`."""
    import tensorflow as tf
    import tf_keras
    from qkeras import QDense

    class QDenseBatchnorm(QDense):  # type: ignore[misc]
        """Dense and batch norm, folded into one kernel and bias before these are rounded."""

        def __init__(self, units: int, axis: Any = -1, epsilon: float = 1e-3, center: bool = True,
                     scale: bool = True, **kwargs: Any) -> None:  # fmt: skip
            for name in list(kwargs):
                if name.startswith(("momentum", "beta_", "gamma_", "moving_", "ema_", "folding_")):
                    del kwargs[name]
            super().__init__(units, **kwargs)
            self.batchnorm = tf_keras.layers.BatchNormalization(
                axis=-1, epsilon=epsilon, center=center, scale=scale
            )
            del axis

        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.batchnorm.build((*input_shape[:-1], self.units))
            self._iteration = tf.Variable(-1, trainable=False, name="iteration", dtype=tf.int64)

        def get_folded_weights(self) -> list[Any]:
            norm = self.batchnorm
            inverse = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
            if norm.gamma is not None:
                inverse *= norm.gamma
            bias = self.bias if self.use_bias else 0.0
            beta = norm.beta if norm.beta is not None else 0.0
            return [inverse * self.kernel, inverse * (bias - norm.moving_mean) + beta]

        def call(self, inputs: Any, training: Any = None) -> Any:
            del training
            kernel, bias = self.get_folded_weights()
            if self.kernel_quantizer is not None:
                kernel = self.kernel_quantizer_internal(kernel)
            if self.bias_quantizer is not None:
                bias = self.bias_quantizer_internal(bias)
            output = tf.matmul(inputs, kernel) + bias
            return self.activation(output) if self.activation is not None else output

    class BinaryDense(tf_keras.layers.Dense):  # type: ignore[misc]
        """Dense whose kernel is +-H."""

        def __init__(self, units: int, H: Any = 1.0, **kwargs: Any) -> None:
            for name in ("kernel_lr_multiplier", "bias_lr_multiplier"):
                kwargs.pop(name, None)
            super().__init__(units, **kwargs)
            self.H = H

        @property
        def height(self) -> float:
            if isinstance(self.H, str):  # "Glorot": Glorot's uniform bound
                return float((1.5 / (int(self.kernel.shape[0]) + self.units)) ** 0.5)
            return float(self.H)

        def rounded(self) -> Any:
            return self.height * tf.where(self.kernel > 0, 1.0, -1.0)

        def call(self, inputs: Any) -> Any:
            output = tf.matmul(inputs, self.rounded())
            output = tf.nn.bias_add(output, self.bias) if self.use_bias else output
            return self.activation(output) if self.activation is not None else output

    class TernaryDense(BinaryDense):
        """Dense whose kernel is 0 or +-H."""

        def rounded(self) -> Any:
            return self.height * tf.round(tf.clip_by_value(self.kernel / self.height, -1, 1))

    def binary_tanh(x: Any) -> Any:
        return 2 * tf.round(tf.clip_by_value(0.5 * x + 0.5, 0, 1)) - 1

    def ternary_tanh(x: Any) -> Any:
        return tf.round(tf.clip_by_value(x, -1, 1))

    def relu1(x: Any) -> Any:
        return tf.clip_by_value(x, 0, 1)

    class Clip(tf_keras.constraints.Constraint):  # type: ignore[misc]
        """Bounds weights while training; does nothing here."""

        def __init__(self, **kwargs: Any) -> None:
            del kwargs

        def __call__(self, weights: Any) -> Any:
            return weights

    return {
        "QDenseBatchnorm": QDenseBatchnorm,
        "BinaryDense": BinaryDense,
        "TernaryDense": TernaryDense,
        "binary_tanh": binary_tanh,
        "ternary_tanh": ternary_tanh,
        "relu1": relu1,
        "Clip": Clip,
    }
