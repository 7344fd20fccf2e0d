"""Synthesised hls4ml designs of the ground truth, each a Network with its options and report.

A design's group, which is left out whole, is its repository's owner, its layer test, or a sixth of
the dense layers' shapes.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import hls_digits, hls_latency, hls_schedule
from edgeflow.estimate.hls_digits import Digits
from edgeflow.network import Layer, Network, Weight

DENSE_FOLDS: Final = 6
"""The shapes of the single dense layers are left out in so many parts."""


@dataclass(frozen=True)
class Design:
    """One synthesised design and what its HLS report says (the worst latency and interval)."""

    name: str
    group: str
    network: Network
    io: str
    strategy: str | Mapping[str, str]
    reuse: Mapping[str, int]
    clock_mhz: float
    architecture: str
    latency: float
    interval: float
    compiler: str = "vitis"
    digits: Mapping[str, Digits] = field(default_factory=dict)

    @property
    def regime(self) -> str:
        """Which band it belongs to."""
        return hls_latency.regime(self.network, self.io, self.strategy, self.reuse)

    def predict(self, constants: Mapping[str, float]) -> tuple[float, float]:
        """Latency and interval in cycles."""
        return hls_schedule.schedule(
            self.network,
            io=self.io,
            strategy=self.strategy,
            reuse_factors=self.reuse,
            clock_mhz=self.clock_mhz,
            architecture=self.architecture,
            compiler=self.compiler,
            constants=constants,
            digits=self.digits,
        )


@dataclass
class _Chain:
    """Layers put one after another."""

    layers: list[Layer] = field(default_factory=list)
    reuse: dict[str, int] = field(default_factory=dict)
    strategy: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        kind: str,
        output: tuple[int, ...],
        *,
        kernel: tuple[int, ...] | None = None,
        shape: tuple[int, ...] | None = None,
        bits: float = 16,
        nonzero: int | None = None,
        **attributes: Any,
    ) -> str:
        name = f"l{len(self.layers)}"
        before = self.layers[-1] if self.layers else None
        self.layers.append(
            Layer(
                name,
                kind,
                (before.name,) if before else (),
                (shape or before.output_shape,) if before else (),
                output,
                attributes,
                {"kernel": Weight(kernel, bits, nonzero)} if kernel else {},
            )
        )
        return name

    def network(self) -> Network:
        return Network("n", tuple(self.layers), (self.layers[0].name,), (self.layers[-1].name,))


def designs(data: Path) -> list[Design]:
    """Every design of the ground truth whose layers are known."""
    return [*projects(data), *baselines(data), *dense_layers(data)]


def projects(data: Path) -> list[Design]:
    """Real projects. Left out: wrappers, duplicates, and those without their firmware's files."""
    found = []
    folder = data / "ground_truth" / "hls4ml_firmware_config"
    for row in _table(data, "hls4ml_projects.csv"):
        if row["id"] == "fastml_tutorial__quantized_pruned_cnn":
            found.append(_tutorial_cnn(row))
            continue
        path = folder / f"{row['id']}.json"
        if row["is_axi_wrapper"] == "True" or row["same_numbers_as"] or not path.is_file():
            continue
        config = json.loads(path.read_text())
        io = "stream" if "stream" in (row["io_type"] or row["id"]) else "parallel"
        chain = _from_firmware(config["layers"])
        repo = row["repo"].split("/")[0]
        found.append(
            Design(
                row["id"], repo, chain.network(), io, chain.strategy, chain.reuse,
                1e3 / float(row["target_clk_ns"]), _architecture(row["part"]),
                float(row["latency_max"]), float(row["ii_max"]), _compiler(row["tool_version"]),
            )
        )  # fmt: skip
    return found


def _tutorial_cnn(row: Mapping[str, str]) -> Design:
    """The CNN of hls4ml's tutorial, part 6, as its notebook builds it (io_stream, latency)."""
    chain = _Chain()
    chain.add("input", (32, 32, 3))
    for size, filters, channels in ((32, 16, 3), (15, 16, 16), (6, 24, 16)):
        inner = size - 2
        name = chain.add(
            "conv2d", (inner, inner, filters), kernel=(3, 3, channels, filters), bits=6
        )
        chain.strategy[name] = "latency"
        chain.add("relu", (inner, inner, filters))
        chain.add("max_pool2d", (inner // 2, inner // 2, filters), pool_size=2)
    chain.add("flatten", (96,))
    for before, after in ((96, 42), (42, 64), (64, 10)):
        chain.strategy[chain.add("dense", (after,), kernel=(before, after), bits=6)] = "latency"
        chain.add("softmax" if after == 10 else "relu", (after,))
    return Design(
        row["id"], "fastmachinelearning", chain.network(), "stream",
        chain.strategy, {}, 200.0, _architecture(row["part"]),
        float(row["latency_max"]), float(row["ii_max"]), _compiler(row["tool_version"]),
    )  # fmt: skip


def _from_firmware(configs: Sequence[Mapping[str, Any]]) -> _Chain:
    """A Network from hls4ml's configuration structs (``parameters.h``)."""
    chain = _Chain()
    inner = {c.get("mult_config") for c in configs} | {c.get("mult_config1") for c in configs}
    inner |= {c.get("mult_config2") for c in configs}
    plain = [c for c in configs if c["name"] not in inner]
    mults = {c["name"]: c for c in configs if c["name"] in inner}
    for config in plain:
        kind = config["kind"].removesuffix("_config")
        if not chain.layers:
            chain.add("input", _input_shape(config, kind))
        if kind == "dense":
            used = _number(config.get("n_nonzeros"))
            name = chain.add(
                "dense", (config["n_out"],), kernel=(config["n_in"], config["n_out"]),
                shape=(config["n_in"],), bits=_bits(config["weight_t"]), nonzero=used,
            )  # fmt: skip
        elif kind in ("conv1d", "conv2d"):
            inside, outside, window = _conv_shapes(config, kind)
            name = chain.add(
                kind, (*outside, config["n_filt"]), shape=(*inside, config["n_chan"]),
                kernel=(*window, config["n_chan"], config["n_filt"]),
                bits=_bits(config["weight_t"]),
            )  # fmt: skip
        elif kind == "gru":
            states = config["n_state"]
            name = chain.add(
                "gru", (states,), shape=(config["n_sequence"], config["n_in"]),
                kernel=(config["n_in"], 3 * states), bits=_bits(config["weight_t"]),
            )  # fmt: skip
        else:
            _add_plain(chain, config, kind)
            continue
        own = mults.get(str(config.get("mult_config") or config.get("mult_config1")), config)
        chain.reuse[name] = int(own["reuse_factor"])
        chain.strategy[name] = str(own.get("strategy", "resource")).removeprefix("nnet::")
    return chain


def _add_plain(chain: _Chain, config: Mapping[str, Any], kind: str) -> None:
    """A layer without weights (or a recurrent layer's tables, which it holds itself)."""
    shape = tuple(dim or 1 for dim in chain.layers[-1].output_shape)
    if kind == "activ":
        if "recr" in config["name"] or re.fullmatch(r"tanh_config\d", config["name"]):
            return
        names = ("softmax", "sigmoid", "tanh", "relu")
        chain.add(next(n for n in names if n in config["name"].lower()), shape)
    elif kind == "batchnorm":
        chain.add("batch_norm", shape)
    elif kind == "padding1d":
        chain.add("pad", (config["out_width"], config["n_chan"]))
    elif kind == "padding2d":
        chain.add("pad", (config["out_height"], config["out_width"], config["n_chan"]))
    elif kind == "resize":
        chain.add("upsample", (config["new_height"], config["new_width"], config["n_chan"]))
    elif kind == "pooling2d":
        size = (config["pool_height"], config["pool_width"])
        chain.add(
            "max_pool2d",
            (config["out_height"], config["out_width"], config["n_filt"]),
            pool_size=size,
        )
    elif kind == "pooling1d" and "n_out" in config:
        chain.add("max_pool1d", (config["n_out"], config["n_filt"]), pool_size=config["pool_width"])
    elif kind == "pooling1d":
        chain.add("global_max_pool1d", (config["n_filt"],))
    else:
        raise ValueError(f"unknown layer '{config['kind']}'")


def baselines(data: Path) -> list[Design]:
    """hls4ml's own layer tests, those with a latency (Vivado and Vitis). They run on xcu250."""
    found = []
    for row in _table(data, "hls4ml_layer_baselines.csv"):
        if not row["WorstLatency"]:
            continue
        chain, group = _Chain(), "hls4ml test: "
        spec = row["spec"]
        io = "stream" if "io_stream" in row["test"] else "parallel"
        if dense := re.match(r"Dense 1->(\d+) \+ (\w+)", spec):
            width = int(dense[1])
            chain.add("input", (1,))
            chain.strategy[chain.add("dense", (width,), kernel=(1, width))] = "latency"
            chain.add(dense[2], (width,))
            group += "dense"
        elif spec.startswith("Conv2D 28x28x3"):
            chain.add("input", (28, 28, 3))
            chain.strategy[
                chain.add("conv2d", (7, 7, 32), kernel=(4, 4, 3, 32), padding="same", strides=4)
            ] = "resource"
            chain.add("relu", (7, 7, 32))
            group += "conv2d"
        elif spec.startswith("DepthwiseConv1D"):
            chain.add("input", (32, 3))
            chain.add("depthwise_conv1d", (30, 3), kernel=(3, 3, 1))
            group += "depthwise1d"
        elif spec.startswith("DepthwiseConv2D"):
            chain.add("input", (32, 32, 3))
            chain.add("depthwise_conv2d", (30, 30, 3), kernel=(3, 3, 3, 1))
            group += "depthwise2d"
        elif pool := re.match(r"pool 2 on (\S+)", spec):
            shape = [int(part) for part in pool[1].split("x")]
            chain.add("input", tuple(shape))
            kind = f"{'avg' if 'Av' in row['test'] else 'max'}_pool{len(shape) - 1}d"
            padding = "same" if "-same-" in row["test"] else "valid"
            inner = [math.ceil(d / 2) if padding == "same" else d // 2 for d in shape[:-1]]
            chain.add(kind, (*inner, shape[-1]), pool_size=2, strides=2, padding=padding)
            group += "pool"
        else:
            raise ValueError(f"unknown test '{spec}'")
        found.append(
            Design(
                f"{row['test']} {row['tool_version']}", group, chain.network(), io,
                chain.strategy, chain.reuse, 1e3 / float(row["TargetClockPeriod"]),
                "virtex-ultrascale+", float(row["WorstLatency"]), float(row["IntervalMax"]),
                row["backend"].lower(),
            )
        )  # fmt: skip
    return found


def dense_layers(data: Path) -> list[Design]:
    """Single dense layers on xcu250 (wa-hls4ml), their weights known; failed runs are left out."""
    import numpy as np

    with np.load(data / "ground_truth" / "wa_hls4ml_dense_kernels.npz", allow_pickle=False) as file:
        known = {name: hls_digits.counted(file[name].tolist()) for name in file.files}
    rows = [
        row for row in _table(data, "wa_hls4ml_dense.csv") if row["hls_synth_success"] == "True"
    ]
    shapes = sorted({(int(row["d_in"]), int(row["d_out"])) for row in rows})
    found = []
    for row in rows:
        shape = int(row["d_in"]), int(row["d_out"])
        chain = _Chain()
        chain.add("input", (shape[0],))
        name = chain.add("dense", (shape[1],), kernel=shape, bits=float(row["prec"]))
        group = f"dense layers, part {shapes.index(shape) % DENSE_FOLDS}"
        found.append(
            Design(
                f"{row['model_name']} rf {row['rf']} {row['strategy']}",
                group, chain.network(), "parallel",
                row["strategy"], {name: int(float(row["rf"]))},
                1e3 / float(row["TargetClockPeriod_hls"]), "virtex-ultrascale+",
                float(row["WorstLatency_hls"]), float(row["IntervalMax_hls"]),
                digits={name: known[row["model_name"]]},
            )
        )  # fmt: skip
    return found


def _table(data: Path, name: str) -> list[dict[str, str]]:
    with (data / "ground_truth" / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def _compiler(version: str) -> str:
    """Vitis HLS followed Vivado HLS 2020.1."""
    return "vitis" if float(version[:4]) > 2020 else "vivado"


def _architecture(part: str) -> str:
    if part.startswith("xc7z"):
        return "zynq-7000"
    if part.startswith("xc7"):
        return "virtex-7"
    return "virtex-ultrascale+"


def _bits(text: str) -> float:
    numbers = re.findall(r"\d+", text)
    return float(numbers[0]) if numbers else 16.0


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int) or str(value).isdigit() else None


def _input_shape(config: Mapping[str, Any], kind: str) -> tuple[int, ...]:
    if kind in ("conv2d", "padding2d"):
        return config["in_height"], config["in_width"], config["n_chan"]
    if kind in ("conv1d", "padding1d"):
        return config["in_width"], config["n_chan"]
    if kind == "gru":
        return config["n_sequence"], config["n_in"]
    return (config["n_in"],)


def _conv_shapes(
    config: Mapping[str, Any], kind: str
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    axes = ("width",) if kind == "conv1d" else ("height", "width")
    inside, outside, window = (
        tuple(int(config[f"{part}_{axis}"]) for axis in axes) for part in ("in", "out", "filt")
    )
    return inside, outside, window
