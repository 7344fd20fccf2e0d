"""The measured latencies that the microcontrollers' coefficients come from.

Read from the ground truth under ``$EDGEFLOW_DATA`` and from tables published elsewhere, which are
in this module with their sources. A row is one network on one board with one runtime.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeflow.estimate import mcu_graphs, mcu_memory, mcu_terms
from edgeflow.network import Network

BOARDS: Final = {
    "NUCLEO-L4R5ZI": "cortex-m4",
    "NUCLEO-H7A3ZI-Q": "cortex-m7",
    "NUCLEO-U575ZI-Q": "cortex-m33",
    "B-U585I-IOT02A": "cortex-m33",
    "STM32H747I-DISCO": "cortex-m7",
    "STM32F401": "cortex-m4",
}
"""Cores of the boards in the tables."""

NPUS: Final = {"GAP9 EVK": "ne16", "NDP9120": "syntiant-core-2", "XG24-DK2601B": "mvp"}
"""Accelerators of the boards in the tables."""

PERSON: Final = "vww"
"""TensorFlow Lite's person detection is the network of MLPerf Tiny's visual wake words with a grey
image of 96 x 96 pixels: 7.2 against 7.5 million MACs."""

PUBLISHED: Final = (
    # family, version, board, core, MHz, benchmark, seconds
    ("cmsis-nn", "tflm", "nucleo-f413zh", "cortex-m4", 100, PERSON, 0.3866),
    ("tflm", "", "esp32-s3", "xtensa-lx7", 240, PERSON, 2.300),
    ("tflm", "", "esp32", "xtensa-lx6", 240, PERSON, 4.084),
    ("tflm", "", "esp32-c3", "riscv32", 160, PERSON, 3.355),
    ("xtensa-lx7", "", "esp32-s3", "npu", 240, PERSON, 0.054),
    ("xtensa-lx6", "", "esp32", "npu", 240, PERSON, 0.380),
    ("riscv32", "", "esp32-c3", "npu", 160, PERSON, 0.426),
)
"""Measured by others: Samsung/ONE issue 7598 (NUCLEO-F413ZH with CMSIS-NN), espressif/esp-tflite-
micro's README (person detection without and with ESP-NN)."""

NEAR: Final = 512 * 1024
"""Bytes of the largest piece of RAM in the STM32H747, on which the zoo's large networks ran."""

CYCLES_PER_INSTRUCTION: Final = 1.4
"""Of a Cortex-M4 in int8 kernels: loads and taken branches take 2 to 4 cycles (Arm 100166, the
core's technical reference manual, instruction timing), and flash adds to it. An assumption."""

INSTRUCTIONS: Final = {
    "ic": {"cortex-m0": 106.91, "cortex-m3": 42.48, "cortex-m4": 16.41, "cortex-m55": 14.80},
    "vww": {"cortex-m0": 78.28, "cortex-m3": 32.40, "cortex-m4": 14.00, "cortex-m55": 17.80},
    "kws": {"cortex-m0": 26.34, "cortex-m3": 11.05, "cortex-m4": 4.70, "cortex-m55": 5.84},
    "ad": {"cortex-m0": 4.71, "cortex-m3": 1.69, "cortex-m4": 0.46, "cortex-m55": 0.49},
}
"""Millions of instructions of one inference with edgeflow's own kernels, as QEMU counted them
(benchmarks/cortex_m.py, docs/microcontrollers.md)."""


@dataclass(frozen=True)
class Row:
    """One measurement; ``cycles`` of the board's own clock, ``amounts`` as `mcu_terms.count`."""

    family: str
    version: str
    board: str
    core: str
    benchmark: str
    amounts: Mapping[str, float]
    cycles: float

    @property
    def macs(self) -> float:
        """All multiply-accumulates."""
        return sum(self.amounts[name] for name in ("mac", "dense_mac", "depthwise_mac"))


def read(data: Path, networks: Mapping[str, Network]) -> list[Row]:
    """Every int8 row.

    Args:
        data: the folder of ``$EDGEFLOW_DATA``.
        networks: MLPerf Tiny's networks by ``ad``, ``ic``, ``kws``, ``vww``.
    """
    amounts = {name: mcu_terms.count(network) for name, network in networks.items()}
    rows = _mlperf(data, amounts) + _zoo(data)
    for family, version, board, core, mhz, benchmark, seconds in PUBLISHED:
        cycles = seconds * mhz * 1e6
        rows.append(Row(family, version, board, core, benchmark, amounts[benchmark], cycles))
    for benchmark, counts in INSTRUCTIONS.items():
        for core, millions in counts.items():
            cycles = millions * 1e6 * CYCLES_PER_INSTRUCTION
            rows.append(Row("edgeflow", "", "qemu", core, benchmark, amounts[benchmark], cycles))
    return rows


def float_ratios(data: Path) -> list[float]:
    """Time of a float32 network over that of its int8 form, on the same board and version."""
    items = [item for item in table(data, "stm32_latency.csv") if item["board"] in BOARDS]
    eights = {
        (item["repo"], item["model"], item["board"]): float(item["inference_time_ms"])
        for item in items
        if item["format"].lower() == "int8"
    }
    found = []
    for item in items:
        key = (item["repo"], item["model"], item["board"])
        if item["format"].lower() in ("float", "float32") and key in eights:
            found.append(float(item["inference_time_ms"]) / eights[key])
    return found


def _mlperf(data: Path, amounts: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """MLPerf Tiny, performance mode: the latency at the clock that the row gives."""
    rows = []
    for item in table(data, "mlperf_tiny_energy.csv"):
        board = item["board"].upper()
        if item["benchmark"] not in amounts or board not in (*BOARDS, *NPUS):
            continue
        cycles = float(item["latency_ms"]) * 1e3 * float(item["clock_mhz"])
        if board in NPUS:
            family, version, core = NPUS[board], "", "npu"
            if family == "mvp" and item["round"] == "v0.7":
                continue  # an early SDK: the next one ran the same networks up to 1.7x faster
        else:
            family, version = _family(item)
            core = BOARDS[board]
        rows.append(
            Row(family, version, board.lower(), core, item["benchmark"],
                amounts[item["benchmark"]], cycles)
        )  # fmt: skip
    return rows


def _family(item: Mapping[str, str]) -> tuple[str, str]:
    """The kernels of a submission, and their version."""
    words = f"{item['framework']} {item['compiler']}"
    if "X-CUBE-AI" in words:
        return "x-cube-ai", short(words.partition("X-CUBE-AI v")[2].split()[0])
    if "microTVM" in words:
        return ("microtvm", "") if "native" in item["source"] else ("cmsis-nn", "microtvm")
    return ("cmsis-nn", "onnc") if "ONNC" in words else ("tflm", "")


def _zoo(data: Path) -> list[Row]:
    """STM32's model zoo: int8 networks whose operators are listed."""
    graphs = json.loads((data / "ground_truth" / "stm32_modelzoo_graphs.json").read_text())
    rows = []
    for item in table(data, "stm32_latency.csv"):
        graph = graphs.get(f"{item['repo']}:{item['model_path']}")
        if graph is None or item["format"].lower() != "int8" or item["board"] not in BOARDS:
            continue
        benchmark = network_group(item["model"])
        cycles = float(item["inference_time_ms"]) * 1e3 * float(item["frequency"].split()[0])
        network = mcu_graphs.network_of(graph, benchmark)
        amounts = mcu_terms.count(network, mcu_memory.peak(network, None) > NEAR)
        # The tables that name no version are of the zoo's first release, made with 7.3.
        version = short(item["tool_version"]) or "7.3"
        board = item["board"].lower()
        rows.append(
            Row("x-cube-ai", version, board, BOARDS[item["board"]], benchmark, amounts, cycles)
        )
    return rows


def network_group(model: str) -> str:
    """The network that a row of the zoo's tables is of, its sizes taken together.

    ResNet8 and MobileNet v1 0.25 are MLPerf Tiny's.
    """
    name = model.strip().lower()
    for words, group in (
        ("resnet v1 8", "ic"), ("mobilenet v1", "vww"), ("mobilenet v2", "mobilenet v2"),
        ("squeezenet", "squeezenet"), ("miniresnet", "miniresnet"), ("yamnet", "yamnet"),
        ("gmp", "gmp"), ("ign", "ign"), ("mnist", "mnist"),
    ):  # fmt: skip
        if words in name:
            return group
    return name


def short(version: str) -> str:
    """7.3 of 7.3.0."""
    return ".".join(version.split(".")[:2])


def table(data: Path, name: str) -> list[dict[str, str]]:
    """A table of the ground truth."""
    with (data / "ground_truth" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))
