"""Networks that Vela compiles for the calibration of `edgeflow.estimate.ethos_u`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edgeflow.estimate.edge_tpu_designs import mobilenet_v1, squeezenet
from edgeflow.estimate.shapes import Builder
from edgeflow.network import Network


def plain(size: int, filters: int, layers: int, window: int = 3) -> Network:
    """Convolutions of one kind and a classifier."""
    made = Builder(f"plain-{size}-{filters}-{layers}-{window}", size, size, 3)
    for index in range(layers):
        made.conv(filters, window, 2 if index == layers // 2 else 1)
    made.global_pool()
    made.dense(10, "softmax")
    return made.network()


def residual(size: int, filters: int) -> Network:
    """Three stages of two residual blocks."""
    made = Builder(f"residual-{size}-{filters}", size, size, 3)
    made.conv(filters)
    for stage in range(3):
        wide = filters * 2**stage
        for index in range(2):
            stride = 2 if stage and not index else 1
            start = made.last
            short = made.conv(wide, 1, stride, relu=False, after=start) if stride == 2 else start
            made.conv(wide, 3, stride, after=start)
            made.conv(wide, 3, relu=False)
            made.join("add", short, made.last)
            made.other("relu")
    made.global_pool()
    made.dense(10, "softmax")
    return made.network()


def inverted(size: int, width: float) -> Network:
    """Inverted residual blocks, as in MobileNet v2."""
    made = Builder(f"inverted-{size}-{width:g}", size, size, 3)
    made.conv(16, 3, 2)
    for filters, stride in ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (64, 2), (64, 1)):
        start, channels = made.last, made.shape()[-1]
        made.conv(channels * 6, 1)
        made.depthwise(3, stride)
        made.conv(int(filters * width), 1, relu=False)
        if stride == 1 and made.shape()[-1] == channels:
            made.join("add", start, made.last)
    made.global_pool()
    made.dense(100, "softmax")
    return made.network()


def dense(units: int, layers: int) -> Network:
    """Dense layers after 128 inputs."""
    made = Builder(f"mlp-{units}-{layers}", 128)
    for _ in range(layers):
        made.dense(units)
    made.dense(10, "softmax")
    return made.network()


DESIGNS: Final[tuple[Callable[[], Network], ...]] = (
    lambda: plain(32, 16, 4),
    lambda: plain(64, 64, 4),
    lambda: plain(48, 40, 6, 5),
    lambda: plain(96, 128, 3, 1),
    lambda: residual(32, 16),
    lambda: residual(64, 48),
    lambda: inverted(96, 1.0),
    lambda: inverted(160, 2.0),
    lambda: dense(256, 3),
    lambda: dense(1024, 2),
    lambda: mobilenet_v1(0.5, 128, 100),
    squeezenet,
)
