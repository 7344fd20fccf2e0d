"""The networks behind the published latencies of Edge TPUs, as shapes.

The stacks follow the scripts of their authors' repositories, the others their papers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeflow.estimate.shapes import Builder
from edgeflow.network import Network


@dataclass(frozen=True)
class Row:
    """A measured latency (s). `family` is what is left out together, `host` where it ran."""

    network: Network
    bus: str
    seconds: float
    family: str
    host: str

    @property
    def sweep(self) -> bool:
        """Whether the network was built to measure one kind of layer, or a transfer."""
        return self.family in SWEEPS


def table(data: Path) -> Iterator[tuple[Network, str, dict[str, str]]]:
    """The rows of ``edge_tpu_latency.csv`` whose networks are known, with network and family."""
    built: dict[str, Network] = {}
    with (data / "ground_truth" / "edge_tpu_latency.csv").open(newline="") as stream:
        for item in csv.DictReader(stream):
            family, make = _known(item["model"])
            if make is not None:
                yield built.setdefault(item["model"], make()), family, item


def rows(data: Path) -> list[Row]:
    """The measured latencies of Edge TPUs, each once."""
    found = {}
    for network, family, item in table(data):
        for column, bus in COLUMNS.items():
            if item[column]:
                host = item["host"].partition(" ")[0]
                if column == "devboard_edgetpu_ms":
                    host = "dev-board"
                row = Row(network, bus, float(item[column]) / 1e3, family, host)
                found[network.name, bus, row.seconds] = row
    return list(found.values())


SWEEPS: Final = (
    "3x3 stacks", "four dense layers", "7x7 stacks", "deep dense stacks", "input alone",
    "output alone",
)  # fmt: skip

COLUMNS: Final = {
    "edgetpu_ms": "pcie",
    "edgetpu_usb3_ms": "usb3",
    "edgetpu_usb2_ms": "usb2",
    "devboard_edgetpu_ms": "pcie",
}


def _known(model: str) -> tuple[str, Callable[[], Network] | None]:
    if found := re.match(r"5 x conv2d 3x3 same relu, (\d+) filters", model):
        return "3x3 stacks", lambda: conv_stack(int(found[1]))
    if found := re.match(r"dense: 64 in, 4 hidden layers of (\d+)", model):
        return "four dense layers", lambda: dense_net(int(found[1]))
    if found := re.match(r"conv2d stack: .* (\d+) layers, 32 filters 7x7", model):
        return "7x7 stacks", lambda: wide_stack(int(found[1]))
    if found := re.match(r"dense stack: (\d+) layers x (\d+) units", model):
        return "deep dense stacks", lambda: dense_stack(int(found[1]), int(found[2]))
    if found := re.match(r"stride only: input (\d+)x(\d+)x3", model):
        return "input alone", lambda: reader(int(found[1]), int(found[2]))
    if found := re.match(r"padding only: .*output (\d+)x(\d+)x3", model):
        return "output alone", lambda: writer(int(found[1]), int(found[2]))
    for name, (family, make) in NETWORKS.items():
        if model.startswith(name):
            return family, make
    return "", None


def conv_stack(filters: int) -> Network:
    """Five 3x3 convolutions on 64 x 64 x 3."""
    made = Builder(f"conv-{filters}", 64, 64, 3)
    for _ in range(5):
        made.conv(filters)
    return made.network()


def dense_net(units: int) -> Network:
    """64 inputs, four hidden layers, ten outputs."""
    made = Builder(f"dense-{units}", 64)
    for _ in range(4):
        made.dense(units, "tanh")
    made.dense(10, None)
    return made.network()


def wide_stack(layers: int) -> Network:
    """7x7 convolutions of 32 filters on 128 x 128, between an input and an output of few bytes."""
    made = Builder(f"wide-{layers}", 2, 2, 3)
    made.other("pad", 128, 128, 3)
    for _ in range(layers):
        made.conv(32, 7)
    made.conv(1, 1, 128)
    return made.network()


def dense_stack(layers: int, units: int) -> Network:
    """Dense layers after twelve inputs, one output."""
    made = Builder(f"stack-{layers}-{units}", 12)
    for _ in range(layers):
        made.dense(units)
    made.dense(1)
    return made.network()


def reader(rows: int, columns: int) -> Network:
    """An image of which one pixel is used."""
    made = Builder(f"in-{rows}-{columns}", rows, columns, 3)
    made.conv(1, 1, max(rows, columns))
    return made.network()


def writer(rows: int, columns: int) -> Network:
    """Four pixels padded to an image."""
    made = Builder(f"out-{rows}-{columns}", 2, 2, 3)
    made.other("pad", rows, columns, 3)
    return made.network()


def mobilenet_v1(width: float = 1.0, size: int = 224, classes: int = 1001) -> Network:
    """Howard et al., arXiv 1704.04861."""
    made = Builder("mobilenet-v1", size, size, 3)
    _mobilenet_v1_body(made, width)
    made.global_pool()
    made.dense(classes, "softmax")
    return made.network()


def _mobilenet_v1_body(made: Builder, width: float = 1.0) -> None:
    made.conv(int(32 * width), 3, 2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    for filters, stride in [*plan, *[(512, 1)] * 5, (1024, 2), (1024, 1)]:
        made.depthwise(3, stride)
        made.conv(int(filters * width), 1)


def mobilenet_v2(size: int = 224, classes: int = 1001) -> Network:
    """Sandler et al., arXiv 1801.04381."""
    made = Builder("mobilenet-v2", size, size, 3)
    _mobilenet_v2_body(made)
    made.global_pool()
    made.dense(classes, "softmax")
    return made.network()


def _mobilenet_v2_body(made: Builder, last: bool = True) -> None:
    made.conv(32, 3, 2)
    for expansion, filters, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for index in range(count):
            start = made.last
            before = made.shape()[-1]
            if expansion > 1:
                made.conv(before * expansion, 1)
            made.depthwise(3, stride if index == 0 else 1)
            made.conv(filters, 1, relu=False)
            if index:
                made.join("add", start, made.last)
    if last:
        made.conv(1280, 1)


def ssd(body: str, width: float = 1.0) -> Network:
    """SSD of six scales and 90 classes on 300 x 300 (TensorFlow's detection zoo)."""
    made = Builder(f"ssd-mobilenet-{body}", 300, 300, 3)
    if body == "v1":
        made.conv(int(32 * width), 3, 2)
        plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
        for filters, stride in plan:
            made.depthwise(3, stride)
            made.conv(int(filters * width), 1)
        taps = [made.last]
        for filters, stride in ((1024, 2), (1024, 1)):
            made.depthwise(3, stride)
            made.conv(int(filters * width), 1)
    else:
        _mobilenet_v2_body(made)
        taps = [made.last]
    taps = [*taps, made.last] if body == "v1" else taps
    for squeeze, filters in ((256, 512), (128, 256), (128, 256), (64, 128)):
        made.conv(squeeze, 1)
        made.conv(filters, 3, 2)
        taps.append(made.last)
    boxes = 0
    for index, tap in enumerate(taps):
        anchors = 3 if index == 0 else 6
        rows, columns, _ = made.shape(tap)
        made.conv(anchors * 4, 1, relu=False, after=tap)
        made.conv(anchors * 91, 1, relu=False, after=tap)
        boxes += rows * columns * anchors
    made.other("concat", boxes, 95)
    return made.network()


def vgg(convolutions: tuple[int, ...]) -> Network:
    """Simonyan and Zisserman, arXiv 1409.1556."""
    made = Builder(f"vgg{sum(convolutions) + 3}", 224, 224, 3)
    for filters, count in zip((64, 128, 256, 512, 512), convolutions, strict=True):
        for _ in range(count):
            made.conv(filters)
        made.pool(2, 2)
    made.flatten()
    made.dense(4096)
    made.dense(4096)
    made.dense(1000, "softmax")
    return made.network()


def resnet(counts: tuple[int, ...], size: int) -> Network:
    """Bottleneck ResNet: He et al., arXiv 1512.03385."""
    made = Builder(f"resnet{3 * sum(counts) + 2}-{size}", size, size, 3)
    made.conv(64, 7, 2)
    made.pool(3, 2)
    for stage, count in enumerate(counts):
        filters = 64 * 2**stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            start = made.last
            shortcut = start
            if not index:
                shortcut = made.conv(4 * filters, 1, stride, relu=False, after=start)
            made.conv(filters, 1, stride, after=start)
            made.conv(filters, 3)
            made.conv(4 * filters, 1, relu=False)
            made.join("add", shortcut, made.last)
            made.other("relu")
    made.global_pool()
    made.dense(1000, "softmax")
    return made.network()


def inception_v1() -> Network:
    """Szegedy et al., arXiv 1409.4842."""
    made = Builder("inception-v1", 224, 224, 3)
    made.conv(64, 7, 2)
    made.pool(3, 2)
    made.conv(64, 1)
    made.conv(192, 3)
    made.pool(3, 2)
    for plan in (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
        (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    ):  # fmt: skip
        if plan is None:
            made.pool(3, 2)
            continue
        start = made.last
        parts = [made.conv(plan[0], 1, after=start)]
        made.conv(plan[1], 1, after=start)
        parts.append(made.conv(plan[2], 3))
        made.conv(plan[3], 1, after=start)
        parts.append(made.conv(plan[4], 3))
        made.pool(3, 1, after=start)
        parts.append(made.conv(plan[5], 1))
        made.join("concat", *parts)
    made.global_pool()
    made.dense(1001, "softmax")
    return made.network()


def squeezenet() -> Network:
    """SqueezeNet 1.0: Iandola et al., arXiv 1602.07360."""
    made = Builder("squeezenet", 224, 224, 3)
    made.conv(96, 7, 2)
    made.pool(3, 2)
    for index, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        if index in (3, 7):
            made.pool(3, 2)
        start = made.conv(squeeze, 1)
        parts = [made.conv(expand, 1, after=start), made.conv(expand, 3, after=start)]
        made.join("concat", *parts)
    made.conv(1000, 1)
    made.global_pool()
    return made.network()


def densenet() -> Network:
    """DenseNet-121: Huang et al., arXiv 1608.06993."""
    made = Builder("densenet", 224, 224, 3)
    made.conv(64, 7, 2)
    made.pool(3, 2)
    for stage, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            start = made.last
            made.other("scale")
            made.other("relu")
            made.conv(128, 1)
            made.conv(32, 3, relu=False)
            made.join("concat", start, made.last)
        if stage < 3:
            made.conv(made.shape()[-1] // 2, 1)
            made.pool(2, 2, "avg")
    made.global_pool()
    made.dense(1000, "softmax")
    return made.network()


def efficientnet(depth: float, size: int) -> Network:
    """EfficientNet-EdgeTPU, small and medium (tensorflow/tpu, models/official/efficientnet)."""
    made = Builder(f"efficientnet-{size}", size, size, 3)
    made.conv(32, 3, 2)
    for count, window, stride, expansion, filters, fused in (
        (1, 3, 1, 4, 24, True), (2, 3, 2, 8, 32, True), (4, 3, 2, 8, 48, True),
        (5, 5, 2, 8, 96, False), (4, 5, 1, 8, 144, False), (2, 5, 2, 8, 192, False),
    ):  # fmt: skip
        for index in range(-int(-count * depth // 1)):
            start, wide = made.last, made.shape()[-1] * expansion
            first = stride if index == 0 else 1
            if fused:
                made.conv(wide, window, first)
            else:
                made.conv(wide, 1)
                made.depthwise(window, first)
            made.conv(filters, 1, relu=False)
            if index:
                made.join("add", start, made.last)
    made.conv(1280, 1)
    made.global_pool()
    made.dense(1001, "softmax")
    return made.network()


NETWORKS: Final[dict[str, tuple[str, Callable[[], Network]]]] = {
    "Inception v1": ("inception", inception_v1),
    "MobileNet v2 (": ("mobilenet", mobilenet_v2),
    "MobileNet v1 SSD": ("ssd", lambda: ssd("v1")),
    "coco_ssd_mobilenet_v1": ("ssd", lambda: ssd("v1", 0.75)),
    "MobileNet v2 SSD": ("ssd", lambda: ssd("v2")),
    "ResNet-50": ("resnet", lambda: resnet((3, 4, 6, 3), 299)),
    "ResNet-152": ("resnet", lambda: resnet((3, 8, 36, 3), 299)),
    "SqueezeNet": ("squeezenet", squeezenet),
    "VGG16": ("vgg", lambda: vgg((2, 2, 3, 3, 3))),
    "VGG19": ("vgg", lambda: vgg((2, 2, 4, 4, 4))),
    "EfficientNet-EdgeTpu-S": ("efficientnet", lambda: efficientnet(1.0, 224)),
    "EfficientNet-EdgeTpu-M": ("efficientnet", lambda: efficientnet(1.1, 240)),
    "DenseNet": ("densenet", densenet),
}
