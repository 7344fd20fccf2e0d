"""Latency, RAM and flash on microcontrollers, against measurements and hand counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeflow import targets
from edgeflow.estimate import (
    mcu,
    mcu_calibration,
    mcu_graphs,
    mcu_memory,
    mcu_memory_calibration,
    mcu_rows,
    mcu_table,
    mcu_terms,
)
from edgeflow.estimate.mcu_rows import Row
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Layer, Network, Quantizer, Weight
from edgeflow.targets import Figure, Target

INT8 = Quantizer("affine", 8)


def conv(name: str, source: str, shape: tuple[int, ...], cin: int, size: int = 1) -> Layer:
    """A convolution that keeps height and width."""
    height, width, cout = shape
    return Layer(
        name, "conv2d", (source,), ((height, width, cin),), shape,
        {"strides": [1, 1], "padding": "same"},
        {"kernel": Weight((size, size, cin, cout), 8), "bias": Weight((cout,), 32)},
        INT8, height * width * cout * size * size * cin,
    )  # fmt: skip


def small(macs: bool = True) -> Network:
    """Convolution, ReLU, depthwise, pooling, dense, softmax, with shapes and bits alone."""
    layers: tuple[Layer, ...] = (
        Layer("x", "input", (), (), (8, 8, 4), quantizer=INT8),
        conv("c", "x", (8, 8, 16), 4, 3),
        Layer("r", "relu", ("c",), ((8, 8, 16),), (8, 8, 16), quantizer=INT8),
        Layer(
            "d", "depthwise_conv2d", ("r",), ((8, 8, 16),), (8, 8, 16),
            {"strides": [1, 1], "padding": "same"}, {"kernel": Weight((3, 3, 16, 1), 8)},
            INT8, 8 * 8 * 16 * 9,
        ),
        Layer("p", "global_avg_pool2d", ("d",), ((8, 8, 16),), (16,), quantizer=INT8),
        Layer(
            "f", "dense", ("p",), ((16,),), (10,), {},
            {"kernel": Weight((16, 10), 8), "bias": Weight((10,), 32)}, INT8, 160,
        ),
        Layer("s", "softmax", ("f",), ((10,),), (10,), quantizer=INT8),
    )  # fmt: skip
    if not macs:
        layers = tuple(replace(layer, macs=0) for layer in layers)
    return Network("small", layers, ("x",), ("s",))


def valued(estimate: Estimate) -> float:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.value


def asked(name: str, **settings: str | float) -> Target:
    target = targets.load(name)
    return replace(target, settings={**target.settings, **settings})


def cycles(network: Network, target: Target) -> float:
    return valued(mcu.latency(network, target)["latency_cycles"])


def test_amounts_by_hand() -> None:
    found = mcu_terms.count(small())
    assert found["mac"] == 8 * 8 * 16 * 9 * 4
    assert found["depthwise_mac"] == 8 * 8 * 16 * 9
    assert found["dense_mac"] == 160
    assert found["output"] == 8 * 8 * 16 + 10
    assert found["gather"] == 8 * 8 * 9 * 4
    assert found["combine"] == 8 * 8 * 16
    assert found["function"] == 10
    assert found["layer"] == 5  # the ReLU goes into the convolution


def test_macs_follow_from_shapes_where_none_are_given() -> None:
    assert mcu_terms.count(small(macs=False)) == mcu_terms.count(small())


def test_a_clock_scales_the_time_and_not_the_cycles() -> None:
    board = targets.load("nucleo-l4r5zi")
    one = mcu.latency(small(), board)
    half = mcu.latency(small(), replace(board, clock_mhz=60))
    assert one["latency_cycles"] == half["latency_cycles"]
    assert valued(half["latency"]) == pytest.approx(2 * valued(one["latency"]))
    assert valued(one["latency"]) == pytest.approx(valued(one["latency_cycles"]) / 120e6)


def test_runtimes_cores_and_versions_order_as_they_were_measured() -> None:
    network = small()
    by_runtime = [
        cycles(network, asked("nucleo-l4r5zi", runtime=name))
        for name in ("x-cube-ai", "tflm-cmsis-nn", "tflm")
    ]
    assert by_runtime == sorted(by_runtime)
    by_version = [
        cycles(network, asked("nucleo-l4r5zi", runtime="x-cube-ai", runtime_version=version))
        for version in ("10.2", "9.0.0", "8.1", "7.3.0", "7.1")
    ]
    assert by_version == sorted(by_version)
    by_core = [
        cycles(network, asked(name, runtime="tflm-cmsis-nn"))
        for name in ("nucleo-h743zi", "nucleo-u575zi-q", "nucleo-l4r5zi", "raspberry-pi-pico")
    ]
    assert by_core == sorted(by_core)
    ways = [
        cycles(network, asked("nucleo-l4r5zi", runtime="microtvm", runtime_version=way))
        for way in ("native", "cmsis-nn")
    ]
    either = cycles(network, asked("nucleo-l4r5zi", runtime="microtvm"))
    assert min(ways) < either < max(ways)


def width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high / estimate.low


@pytest.mark.parametrize("name", ["cortex-m4f", "Arm Cortex-M4F", "cortex_m4"])
def test_a_core_goes_by_its_usual_names(name: str) -> None:
    board = targets.load("nucleo-l4r5zi")
    assert cycles(small(), replace(board, architecture=name)) == cycles(small(), board)


def test_activations_outside_the_chip_slow_it_down() -> None:
    board = asked("nucleo-h743zi", runtime="x-cube-ai", runtime_version="8.1")
    near = mcu.latency(small(), board)["latency"]
    far = mcu.latency(small(), asked("nucleo-h743zi", ram_length=100, runtime_version="8.1"))
    assert valued(far["latency"]) > valued(near)
    assert "from other memory" in far["latency"].source
    moved = mcu_terms.count(small(), far=True)["far"]
    assert moved == (256 + 1024) + (1024 + 1024) + (1024 + 16) + (16 + 10) + (10 + 10)
    assert width(far["latency"]) > width(near)


def test_what_was_not_measured_has_a_wider_band_and_says_so() -> None:
    network = small()
    network = network.with_layers(tuple(replace(layer, macs=10 * layer.macs) for layer in network))
    version = {"runtime": "x-cube-ai", "runtime_version": "8.1"}
    known = mcu.latency(network, asked("nucleo-l4r5zi", **version))["latency"]
    board = mcu.latency(network, asked("nucleo-f446re", **version))["latency"]
    core = mcu.latency(network, asked("nucleo-g071rb", **version))["latency"]
    unsaid = mcu.latency(network, asked("nucleo-l4r5zi", runtime="x-cube-ai"))["latency"]
    assert width(known) < width(board) < width(core)
    assert width(known) < width(unsaid)
    assert "board that was not measured" in board.source
    odd = mcu.latency(network, asked("nucleo-l4r5zi", runtime_version="newest"))["latency"]
    assert "'newest' is no version that is known" in odd.source
    assert width(odd) == pytest.approx(width(unsaid))
    assert "core that was not measured" in core.source
    tiny = small()
    outside = mcu.latency(tiny, asked("nucleo-l4r5zi", **version))["latency"]
    assert "outside" in outside.source
    assert width(outside) > width(known)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("nucleo-l4r5zi", {"runtime": "abacus"}, "nothing is known of the runtime 'abacus'"),
        ("nucleo-l4r5zi", {"runtime": "vendor"}, "vendor's runtime for 'cortex-m4'"),
        ("gap9-evk", {"runtime": "tflm"}, "no processor like 'gap9'"),
    ],
)
def test_what_nobody_knows_is_null_with_its_reason(
    name: str, settings: dict[str, str], words: str
) -> None:
    for estimate in mcu.latency(small(), asked(name, **settings)).values():
        assert estimate.value is None
        assert words in (estimate.reason or "")


def test_float32_is_slower_and_needs_an_fpu() -> None:
    network, board = small(), targets.load("nucleo-l4r5zi")
    slow = mcu.latency(network, board, "float32")["latency"]
    fast = mcu.latency(network, board)["latency"]
    assert valued(slow) > 1.5 * valued(fast)
    assert mcu.latency(network, targets.load("raspberry-pi-pico"), "float32")["latency"].reason
    assert mcu.latency(network, board, "16x8")["latency"].reason


def test_every_microcontroller_gives_a_latency() -> None:
    """Each board of the shipped targets has a runtime and a core that are known."""
    own = [t for t in targets.load_all().values() if t.kind == "mcu"]
    assert len(own) > 90
    for target in own:
        valued(mcu.latency(small(), target)["latency"])


def test_memory_by_hand() -> None:
    network = small()
    # input 256 and convolution 1024 elements; then the depthwise's 1024 beside it
    assert mcu_memory.peak(network, None) == 2048
    assert mcu_memory.weight_bytes(network) == 9 * 4 * 16 + 4 * 16 + 9 * 16 + 160 + 40
    rules = {**mcu_memory_calibration.APART, "depthwise": 0.5}
    assert mcu_memory.peak(network, rules) == 1024 + 512


def test_a_short_cut_stays_alive() -> None:
    layers = (
        Layer("x", "input", (), (), (4, 4, 8), quantizer=INT8),
        conv("a", "x", (4, 4, 8), 8),
        conv("b", "a", (4, 4, 8), 8),
        Layer("y", "add", ("x", "b"), ((4, 4, 8),) * 2, (4, 4, 8), quantizer=INT8),
    )
    network = Network("short", layers, ("x",), ("y",))
    assert mcu_memory.peak(network, None) == 3 * 128
    # the second convolution writes over its input; x waits for the sum
    overlap = {**mcu_memory_calibration.APART, "pointwise": 0.0, "widening": 1.0}
    assert mcu_memory.peak(network, overlap) == 2 * 128 + 0
    assert mcu_memory.weight_bytes(network) == 2 * (64 + 32)


def test_memory_by_runtime() -> None:
    network = small()
    board = targets.load("nucleo-l4r5zi")
    for runtime in ("x-cube-ai", "tflm", "tflm-cmsis-nn", "microtvm", "edgeflow"):
        found = mcu_memory.memory(network, board, runtime=runtime)
        assert valued(found["ram"]) > 1000
        assert valued(found["flash"]) > mcu_memory.weight_bytes(network)
        wide = mcu_memory.memory(network, board, "float32", runtime)
        assert valued(wide["ram"]) > 0
    unknown = mcu_memory.memory(network, targets.load("gap9-evk"))
    assert unknown["ram"].value is None
    assert "vendor" in (unknown["ram"].reason or "")


def test_how_much_is_over() -> None:
    board = targets.load("nucleo-l4r5zi")
    found = mcu_memory.memory(small(), board)
    over = mcu_memory.fits(found, board)
    assert over["ram"] == pytest.approx(valued(found["ram"]) - 655360, abs=1)
    assert over["flash"] < 0
    tight = replace(board, memory={**board.memory, "ram": Figure(1000, "datasheet")})
    source = mcu_memory.memory(small(), tight)["ram"].source
    more = math.ceil(valued(found["ram"]) - 1000)
    assert source.startswith(f"{more:,} B more than nucleo-l4r5zi has")


def test_operators_without_names_are_put_together_by_shape() -> None:
    def item(shape: list[int], constant: int = 0) -> dict[str, Any]:
        return {"shape": shape, "dtype": "INT8", "const_bytes": constant}

    kernel, bias = item([8, 1, 1, 8], 64), item([8], 32)
    image = [1, 4, 4, 8]

    def product() -> dict[str, Any]:
        inputs = [item(image), kernel, bias]
        return {"op": "CONV_2D", "macs": 1024, "inputs": inputs, "outputs": [item(image)],
                "stride": [1, 1], "padding": 0}  # fmt: skip

    total = {"op": "ADD", "macs": 0, "inputs": [item(image)] * 2, "outputs": [item(image)]}
    graph = {"inputs": [item(image)], "ops": [product(), product(), total]}
    network = mcu_graphs.network_of(graph, "short")
    network.validate()
    assert network["add2"].inputs == ("conv_2d1", "input0")
    assert network.totals.macs == 2048


def test_the_fit_finds_what_made_the_rows() -> None:
    """Rows made from the figures known beforehand, 1.5x slower on one core, are found again."""
    before = mcu_calibration.fit([])
    base = mcu_terms.count(small())
    rows = []
    for index in range(12):
        amounts = {name: amount * (1 + index % 5) for name, amount in base.items()}
        core = "cortex-m7" if index % 2 else "cortex-m4"
        row = Row("x-cube-ai", "7.3", f"b{index}", core, f"n{index}", amounts, 1.0)
        rows.append(replace(row, cycles=before.predict(row) * (1.5 if index % 2 else 1.0)))
    found = mcu_calibration.fit(rows)
    assert found.predict(rows[0]) == pytest.approx(rows[0].cycles, rel=0.05)
    assert found.predict(rows[1]) == pytest.approx(rows[1].cycles, rel=0.1)


def test_the_file_says_what_it_reached() -> None:
    record = json.loads(mcu_table.COEFFICIENTS.read_text())
    by_name = {(row["quantity"], row["designs"]): row for row in record["accuracy"]}
    assert len(by_name) == len(record["accuracy"])
    assert record["limits"]
    for (quantity, designs), row in by_name.items():
        assert row["groups"] > 2, designs
        if quantity in ("MCU RAM", "MCU flash"):
            assert row["median_error"] <= {"MCU RAM": 0.1, "MCU flash": 0.05}[quantity]


def test_networks_left_out_are_predicted_from_the_others(data_root: Path) -> None:
    """The zoo's rows alone, without MLPerf Tiny's."""
    rows = [row for row in mcu_rows._zoo(data_root) if row.family == "x-cube-ai"]
    assert len(rows) > 15
    found = mcu_calibration.leave_out(rows, mcu_calibration.by_benchmark)
    errors = sorted(abs(guess / row.cycles - 1) for row, guess in found)
    assert errors[len(errors) // 2] <= 0.2
    assert all(0.4 <= guess / row.cycles <= 2.5 for row, guess in found)
    plain = mcu_calibration.macs_only(rows, mcu_calibration.by_benchmark)
    by_macs = sorted(abs(guess / row.cycles - 1) for row, guess in plain)
    assert errors[len(errors) // 2] < by_macs[len(by_macs) // 2]


def test_footprints_of_networks_left_out(data_root: Path) -> None:
    _, rows = mcu_memory_calibration.calibrate(data_root)
    ram, flash = rows
    assert ram["median_error"] <= 0.1
    assert flash["median_error"] <= 0.05
    assert ram["within_2x"] == flash["within_2x"] == 1
    assert ram["alternatives"]["tensors and weights alone"]["median_error"] > ram["median_error"]
