"""One call of a layer in the TPU graph, and in what numbers it multiplies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from edgeflow.network import Layer

Array = Any


@dataclass(frozen=True)
class Arithmetic:
    """The number format of the operands of dot products and convolutions; sums are float32.

    ``float32`` asks the matrix unit for full float32 products (six bfloat16 passes: a TPU's own
    default for float32 operands is one rounded pass). ``bfloat16`` rounds the operands once. What
    needs at most 8 significant bits (weights and activations of a retrained 6-bit model) is exact
    in bfloat16.
    """

    precision: str = "float32"

    @property
    def passes(self) -> lax.Precision:
        """What the compiler is asked for."""
        return lax.Precision.HIGHEST if self.precision == "float32" else lax.Precision.DEFAULT

    def operand(self, value: Array) -> Array:
        """The value in the operands' format; an array of weights stays a constant."""
        if isinstance(value, np.ndarray):
            # Rounded here, so that the artifact holds the rounded weights (half the bytes).
            return value.astype(jnp.dtype(self.precision))
        return value.astype(self.precision)

    def dot(self, x: Array, kernel: Array) -> Array:
        """`x` (…, n) times `kernel` (n, m)."""
        return jnp.tensordot(
            self.operand(x),
            self.operand(kernel),
            axes=1,
            precision=self.passes,
            preferred_element_type=jnp.float32,
        )

    def matmul(self, a: Array, b: Array) -> Array:
        """A product of matrices, the leading dimensions broadcast."""
        return jnp.matmul(
            self.operand(a),
            self.operand(b),
            precision=self.passes,
            preferred_element_type=jnp.float32,
        )


@dataclass(frozen=True)
class Call:
    """A layer with the values of its inputs (batch first), its weights by role, its arithmetic.

    ``legacy``: the model is of Keras 2, where some functions differ.
    """

    layer: Layer
    inputs: Sequence[Array]
    weights: Mapping[str, np.ndarray]
    number: Arithmetic
    legacy: bool = False

    @property
    def x(self) -> Array:
        """The first input."""
        return self.inputs[0]

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The layer's own settings."""
        return self.layer.attributes

    def get(self, name: str, default: Any = None) -> Any:
        """One of them."""
        return self.layer.attributes.get(name, default)


def each_axis(value: Any, rank: int) -> tuple[int, ...]:
    """A setting given once, or for each axis of a window; 1 where it is not given."""
    if value is None:
        return (1,) * rank
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    return tuple(int(item) for item in values)


def window_rank(layer: Layer) -> int:
    """Number of the window's dimensions."""
    return len(layer.input_shapes[0]) - 1
