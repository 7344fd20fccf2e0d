"""Networks of shapes alone, built in a few lines: what the calibrations know of published models.

Weights have shapes and bits but no values. Images are channels last, padding is ``same`` unless
said. Standard library alone.
"""

from __future__ import annotations

import math

from edgeflow.network import Layer, Network, Quantizer, Weight

INT8 = Quantizer("affine", 8)


class Builder:
    """Adds layers one after the other; each method gives the new layer's name.

    ``after`` names the layers read (default: the last one added).
    """

    def __init__(self, name: str, *shape: int) -> None:
        self.name = name
        self.layers = [Layer("input", "input", output_shape=shape, quantizer=INT8)]
        self.last = "input"

    def shape(self, name: str | None = None) -> tuple[int, ...]:
        """The output shape of a layer."""
        found = next(layer for layer in self.layers if layer.name == (name or self.last))
        return tuple(int(dim or 1) for dim in found.output_shape)

    def conv(
        self, filters: int, window: int | tuple[int, int] = 3, stride: int = 1, *,
        relu: bool = True, same: bool = True, after: str | None = None,
    ) -> str:  # fmt: skip
        """A 2D convolution with its bias, and a ReLU."""
        high, wide = (window, window) if isinstance(window, int) else window
        rows, columns, channels = self.shape(after)
        out = (_out(rows, high, stride, same), _out(columns, wide, stride, same), filters)
        taps = high * wide
        self._add(
            "conv2d", out, after,
            macs=math.prod(out) * taps * channels,
            attributes=_window((high, wide), stride, same),
            weights=_weights((high, wide, channels, filters), filters),
        )  # fmt: skip
        return self._add("relu", out) if relu else self.last

    def depthwise(
        self, window: int = 3, stride: int = 1, *, relu: bool = True, after: str | None = None
    ) -> str:
        """A depthwise 2D convolution."""
        rows, columns, channels = self.shape(after)
        out = (_out(rows, window, stride), _out(columns, window, stride), channels)
        self._add(
            "depthwise_conv2d", out, after, macs=math.prod(out) * window * window,
            attributes=_window((window, window), stride, True),
            weights=_weights((window, window, channels, 1), channels),
        )  # fmt: skip
        return self._add("relu", out) if relu else self.last

    def dense(self, units: int, activation: str | None = "relu") -> str:
        """A dense layer on the last axis."""
        shape = self.shape()
        out = (*shape[:-1], units)
        self._add(
            "dense", out, macs=math.prod(out) * shape[-1],
            weights=_weights((shape[-1], units), units),
        )  # fmt: skip
        return self._add(activation, out) if activation else self.last

    def pool(
        self, window: int, stride: int, kind: str = "max", *, same: bool = True,
        after: str | None = None,
    ) -> str:  # fmt: skip
        """A 2D pooling."""
        rows, columns, channels = self.shape(after)
        out = (_out(rows, window, stride, same), _out(columns, window, stride, same), channels)
        sizes = _window((window, window), stride, same, "pool_size")
        return self._add(f"{kind}_pool2d", out, after, attributes=sizes)

    def global_pool(self) -> str:
        """The mean over rows and columns."""
        return self._add("global_avg_pool2d", self.shape()[-1:])

    def flatten(self) -> str:
        """All elements in one axis."""
        return self._add("flatten", (math.prod(self.shape()),))

    def join(self, kind: str, *after: str) -> str:
        """``add``, ``mul`` or ``concat`` (channels) of several layers."""
        shapes = [self.shape(name) for name in after]
        out = max(shapes, key=math.prod)
        if kind == "concat":
            out = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
        return self._add(kind, out, *after)

    def other(self, kind: str, *shape: int) -> str:
        """A layer without weights, of the output shape given (that of its input by default)."""
        return self._add(kind, shape or self.shape())

    def network(self) -> Network:
        """What was built; the last layer is the output."""
        return Network(self.name, tuple(self.layers), ("input",), (self.last,))

    def _add(
        self,
        kind: str,
        out: tuple[int, ...],
        *after: str | None,
        macs: int = 0,
        attributes: dict[str, object] | None = None,
        weights: dict[str, Weight] | None = None,
    ) -> str:
        before = tuple(name or self.last for name in after) or (self.last,)
        name = f"{kind}_{len(self.layers)}"
        shapes = tuple(self.shape(item) for item in before)
        self.layers.append(
            Layer(name, kind, before, shapes, out, attributes or {}, weights or {}, INT8, macs)
        )
        self.last = name
        return name


def _window(
    size: tuple[int, int], stride: int, same: bool, name: str = "kernel_size"
) -> dict[str, object]:
    padding = "same" if same else "valid"
    return {name: list(size), "strides": [stride, stride], "padding": padding}


def _weights(kernel: tuple[int, ...], biases: int) -> dict[str, Weight]:
    return {"kernel": Weight(kernel, 8), "bias": Weight((biases,), 32)}


def _out(size: int, window: int, stride: int, same: bool = True) -> int:
    return -(-size // stride) if same else (size - window) // stride + 1
