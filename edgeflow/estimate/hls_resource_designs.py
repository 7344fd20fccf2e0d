"""Synthesised hls4ml designs of the ground truth with their resources: types, digits, truths."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeflow.estimate import hls_designs, hls_digits, hls_resources
from edgeflow.estimate.hls_designs import Design
from edgeflow.estimate.hls_features import Block, Widths, blocks
from edgeflow.estimate.hls_resources import speed
from edgeflow.frontends import hls_types

COLUMNS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K"}

SEVEN_SERIES_SLOWER = 2.5
"""As in the latency's constants (``hls_latency.json``)."""


@dataclass(frozen=True)
class Sample:
    """A design, what it is made of, and its report's counts."""

    design: Design
    blocks: tuple[Block, ...]
    truth: Mapping[str, float]
    klass: str


def samples(data: Path) -> list[Sample]:
    """Single dense layers and real projects (with hls4ml's own tests of layers)."""
    return [*dense(data), *projects(data), *tests(data)]


def dense(data: Path, *, known: bool = True) -> list[Sample]:
    """wa-hls4ml's layers; its types are ap_fixed<16,6> but for the weights.

    With their weights' digits; or, of those that depend on them, as if only their number of zeros
    were ``known``.
    """
    rows = [r for r in _table(data, "wa_hls4ml_dense.csv") if r["hls_synth_success"] == "True"]
    found = []
    for row, design in zip(rows, hls_designs.dense_layers(data), strict=True):
        truth = {name: float(row[f"{column}_hls"]) for name, column in COLUMNS.items()}
        wide = {"l1": Widths(16, float(row["prec"]), 16, 16)}
        digits = design.digits if known else {}
        told = design if known else _counted(design)
        sample = _sample(told, wide, digits, truth, "dense")
        if not known and sample.blocks[0].regime == "reused":
            continue
        shape = f"dense {row['d_in']} x {row['d_out']}"  # left out whole, with all its bits
        found.append(
            replace(
                sample,
                design=replace(design, group=shape),
                klass=hls_resources.dense_class(sample.blocks[0], known),
            )
        )
    return found


def _counted(design: Design) -> Design:
    """A dense layer whose Network says how many weights are not 0, and no more."""
    (digits,) = design.digits.values()
    layers = [
        replace(
            layer,
            weights={
                name: replace(weight, nonzero=int(digits.nonzero))
                for name, weight in layer.weights.items()
            },
        )
        for layer in design.network
    ]
    return replace(design, network=design.network.with_layers(tuple(layers)))


def projects(data: Path) -> list[Sample]:
    """Real projects, with the types of their firmware."""
    rows = {row["id"]: row for row in _table(data, "hls4ml_projects.csv")}
    folder = data / "ground_truth" / "hls4ml_firmware_config"
    found = []
    for design in hls_designs.projects(data):
        path = folder / f"{design.name}.json"
        if path.is_file():
            wide = _widths(design, json.loads(path.read_text()))
        else:
            wide = {layer.name: Widths(6, 6, 16, 6) for layer in design.network}
            wide["l1"] = Widths(16, 6, 16, 16)  # the image has the default type
        row = rows[design.name]
        # Some authors bound the multiplications of their sources to DSPs, or to logic.
        bound = re.search(r"_(DSP|LUT)_reuse", design.name)
        if bound:
            binding = {"DSP": "dsp", "LUT": "logic"}[bound[1]]
            wide = {name: replace(item, binding=binding) for name, item in wide.items()}
        truth = {name: float(row[column]) for name, column in COLUMNS.items()}
        found.append(_sample(design, wide, {}, truth, design.io, row["tool_version"]))
    return found


def tests(data: Path) -> list[Sample]:
    """hls4ml's own tests of layers, all of ap_fixed<16,6>; their synthesis is real."""
    rows = {
        f"{row['test']} {row['tool_version']}": row
        for row in _table(data, "hls4ml_layer_baselines.csv")
        if row["WorstLatency"]
    }
    found = []
    for design in hls_designs.baselines(data):
        row = rows[design.name]
        truth = {name: float(row[column]) for name, column in COLUMNS.items()}
        found.append(_sample(design, {}, {}, truth, "test", row["tool_version"]))
    return found


def _sample(
    design: Design,
    wide: Mapping[str, Widths],
    digits: Mapping[str, hls_digits.Digits],
    truth: Mapping[str, float],
    klass: str,
    version: str = "2024.1",
) -> Sample:
    made = blocks(
        design.network, io=design.io, strategy=design.strategy, reuse_factors=design.reuse,
        widths=wide, digits=digits,
        stages_per_ns=speed(
            design.clock_mhz, design.architecture, {"seven_series": SEVEN_SERIES_SLOWER}
        ),
        compiler="vitis" if float(version[:4]) > 2020 else "vivado",
    )  # fmt: skip
    return Sample(design, tuple(made), truth, klass)


def _widths(design: Design, config: Mapping[str, Any]) -> dict[str, Widths]:
    """Bits by layer, from the firmware's types in their order of definition."""
    types = {
        name: _bits(text)
        for name, text in config["types"].items()
        if not re.search(r"table|index|accum|weight|bias|_inp_t", name)
    }
    order = list(types.values())
    default = types.get("model_default_t", 16.0)
    named = [c for c in config["layers"] if str(c["kind"]).startswith("dense")]
    mixed = any(name.startswith("h_") for name in config["types"])
    found: dict[str, Widths] = {}
    matrices = iter(named)
    before = types.get("input_t", order[0] if order else 16.0)
    results = iter([value for name, value in types.items() if name != "model_default_t"][1:])
    for layer in design.network:
        if layer.kind == "input":
            continue
        after = next(results, before)
        weight, accumulator, integer = default, default, 0.0
        if "kernel" in layer.weights:
            own: Mapping[str, Any] = next(matrices, {})
            weight = _bits(str(own.get("weight_t", ""))) or default
            accumulator = _bits(str(own.get("accum_t", ""))) or default
            numbers = re.findall(r"-?\d+", str(own.get("weight_t", "")))
            integer = float(numbers[1]) if len(numbers) > 1 else 0.0
            if mixed:
                integer = max(integer, weight - hls_types.mixed(weight) + 1)
            if layer.kind == "gru":
                next(matrices, None)
        found[layer.name] = Widths(before, weight, accumulator, after, integer)
        before = after
    return found


def _bits(text: str) -> float:
    numbers = re.findall(r"fixed<\s*(\d+)|u?int<\s*(\d+)", text)
    return float(numbers[0][0] or numbers[0][1]) if numbers else 0.0


def _table(data: Path, name: str) -> list[dict[str, str]]:
    with (data / "ground_truth" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))
