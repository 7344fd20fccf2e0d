"""The published latencies of networks on Linux boards' processors, and the networks."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeflow.estimate import edge_tpu_designs as designs
from edgeflow.estimate import mcu_graphs
from edgeflow.network import Network

BOARDS: Final = {
    "rpi-zero": ("arm1176", 1000, 1),
    "rpi-2": ("cortex-a7", 900, 4),
    "rpi-3": ("cortex-a53", 1400, 4),
    "rpi-4-32": ("cortex-a72", 1500, 4),
    "rpi-4": ("cortex-a72", 1500, 4),
    "rpi-4-1950": ("cortex-a72", 1950, 4),
}
"""Core, MHz and threads of the boards in `PUBLISHED`."""

PUBLISHED: Final = (
    # board, network, number format, ms
    ("rpi-zero", "v1", "float32", 3919), ("rpi-zero", "v2", "float32", 1987),
    ("rpi-zero", "v1", "int8", 2589), ("rpi-zero", "v2", "int8", 1495),
    ("rpi-2", "v1", "float32", 302), ("rpi-2", "v2", "float32", 191),
    ("rpi-2", "v1", "int8", 128), ("rpi-2", "v2", "int8", 82),
    ("rpi-3", "v1", "float32", 114), ("rpi-3", "v2", "float32", 79),
    ("rpi-3", "v1", "int8", 46), ("rpi-3", "v2", "int8", 30),
    ("rpi-4-32", "v1", "float32", 72), ("rpi-4-32", "v2", "float32", 41),
    ("rpi-4-32", "v1", "int8", 29), ("rpi-4-32", "v2", "int8", 20),
    ("rpi-4", "v1", "float32", 77), ("rpi-4", "v2", "float32", 46),
    ("rpi-4", "v1", "int8", 24), ("rpi-4", "v2", "int8", 17),
    ("rpi-4-1950", "v1", "int8", 1e3 / 38.5), ("rpi-4-1950", "v2", "int8", 1e3 / 45.5),
)  # fmt: skip
"""MobileNet v1 and v2 (224, 1.0): the README of XNNPACK (multi-threaded, 8 February 2022), and of
Qengineering/TensorFlow_Lite_Classification_RPi_64-bits (the last board)."""


@dataclass(frozen=True)
class Row:
    """A measured latency (s); `family` is of the network."""

    network: Network
    board: str
    architecture: str
    clock_hz: float
    threads: int
    number_format: str
    kernels: str
    seconds: float
    family: str


def rows(data: Path) -> list[Row]:
    """The published rows, and those of the ground truth whose networks are known."""
    makers: dict[str, Callable[[], Network]] = {
        "v1": designs.mobilenet_v1, "v2": designs.mobilenet_v2,
    }  # fmt: skip
    built = {name: make() for name, make in makers.items()}
    found = []
    for board, name, number_format, milliseconds in PUBLISHED:
        core, mhz, threads = BOARDS[board]
        found.append(
            Row(
                built[name],
                board,
                core,
                mhz * 1e6,
                threads,
                number_format,
                "xnnpack",
                milliseconds / 1e3,
                "mobilenet",
            )
        )
    return [*found, *_coral(data), *_stm32(data)]


def _coral(data: Path) -> list[Row]:
    """Coral's Dev Board on one A53, and the Jetson Nano's A57 (10 W, and 5 W)."""
    found: dict[tuple[str, str, float], Row] = {}
    for network, family, item in designs.table(data):
        for column, board, core, mhz in (
            ("devboard_a53_ms", "coral-dev-board", "cortex-a53", 1500),
            ("cpu_ms", "jetson-nano", "cortex-a57", 1428),
            ("cpu_5W_ms", "jetson-nano-5w", "cortex-a57", 918),
        ):
            if not item[column] or (core == "cortex-a57" and "Jetson" not in item["host"]):
                continue
            if family in ("input alone", "output alone"):
                continue
            seconds = float(item[column]) / 1e3
            found[network.name, board, seconds] = Row(
                network, board, core, mhz * 1e6, 1, "int8", "xnnpack", seconds, family
            )
    return list(found.values())


def _stm32(data: Path) -> list[Row]:
    """The STM32MP157F-DK2 with ST's TensorFlow Lite on its two A7 cores."""
    graphs = json.loads((data / "ground_truth" / "stm32_modelzoo_graphs.json").read_text())
    found: dict[tuple[str, float], Row] = {}
    with (data / "ground_truth" / "stm32_latency.csv").open(newline="") as stream:
        for item in csv.DictReader(stream):
            graph = graphs.get(f"{item['repo']}:{item['model_path']}")
            if item["board"] != "STM32MP157F-DK2" or graph is None:
                continue
            name = item["model"].split(" fft")[0].split(" tfs")[0].strip()
            seconds = float(item["inference_time_ms"]) / 1e3
            network = mcu_graphs.network_of(graph, f"{name}-{item['resolution']}")
            found[network.name, seconds] = Row(
                network, "stm32mp157f-dk2", "cortex-a7", 800e6, int(item["engine"][0]), "int8",
                "builtin", seconds, name.split(" ")[0].lower(),
            )  # fmt: skip
    return list(found.values())
