"""Edge TPU before compilation: what stays on the chip, how time goes with size and bus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow import targets
from edgeflow.estimate import conformal, edge_tpu, edge_tpu_calibration, workload
from edgeflow.estimate import edge_tpu_designs as designs
from edgeflow.estimate.edge_tpu_designs import conv_stack, dense_net, dense_stack, mobilenet_v2
from edgeflow.network import Layer, Network
from edgeflow.targets import Target

STICK = targets.load("coral-usb-accelerator")


def on(bus: str, target: Target = STICK) -> Target:
    return replace(target, settings={**target.settings, "bus": bus})


def value(network: Network, target: Target = STICK) -> float:
    found = edge_tpu.latency(network, target)
    assert found.value is not None
    return found.value


def streamed(network: Network) -> int:
    return edge_tpu.load(network).memory.off_chip


def test_more_filters_take_longer() -> None:
    times = [value(conv_stack(filters)) for filters in range(32, 712, 40)]
    assert times == sorted(times)


@pytest.mark.parametrize("network", [conv_stack(64), dense_net(2000), mobilenet_v2()])
def test_usb_2_is_never_faster(network: Network) -> None:
    assert value(network, on("usb2")) >= value(network, on("usb3"))


def test_spilled_kernels_cost() -> None:
    fits, spills = dense_net(1580), dense_net(1620)
    assert not streamed(fits)
    assert streamed(spills)
    assert value(spills) > 10 * value(fits)


def test_a_board_s_own_bus_is_pcie_and_unknown_ones_are_null() -> None:
    board = targets.load("coral-dev-board-micro")
    assert value(mobilenet_v2(), board) == value(mobilenet_v2(), on("pcie"))
    found = edge_tpu.latency(mobilenet_v2(), on("spi"))
    assert found.value is None
    assert "usb2, usb3 or pcie" in (found.reason or "")


def test_an_empty_network_is_null() -> None:
    empty = Network("n", conv_stack(8).layers[:1], ("input",), ("input",))
    assert edge_tpu.latency(empty, STICK).value is None


def test_half_the_clock() -> None:
    network = conv_stack(422)
    slow = value(network, replace(STICK, clock_mhz=250.0))
    assert value(network) < slow < 2 * value(network)


def bare(network: Network) -> Network:
    """Shapes, window and count of products alone, as a user may write a Network."""
    layers = tuple(replace(layer, weights={}, quantizer=None) for layer in network)
    return network.with_layers(layers)


@pytest.mark.parametrize("network", [conv_stack(96), dense_net(1700), mobilenet_v2()])
def test_weights_need_not_be_there(network: Network) -> None:
    assert value(bare(network)) == value(network)
    assert streamed(bare(network)) == streamed(network)


def test_window_from_the_products_alone() -> None:
    layers = (
        Layer("x", "input", output_shape=(8, 8, 4)),
        Layer("c", "conv2d", ("x",), ((8, 8, 4),), (8, 8, 16), macs=8 * 8 * 16 * 4 * 25),
    )
    (work,) = workload.of(Network("n", layers, ("x",), ("c",)))
    assert work.taps == 25


def test_outside_of_the_measured_range_the_band_is_wider() -> None:
    inside, outside = (edge_tpu.latency(n, STICK) for n in (conv_stack(96), conv_stack(3000)))
    assert outside.high / outside.value > inside.high / inside.value
    assert "outside of what was measured" in outside.source


@pytest.fixture(scope="module")
def rows(data_root: Path) -> list[designs.Row]:
    return designs.rows(data_root)


@pytest.fixture(scope="module")
def samples(rows: list[designs.Row]) -> list[tuple[designs.Row, edge_tpu.Load]]:
    return [(row, edge_tpu.load(row.network)) for row in rows]


def test_the_compiler_s_memory(data_root: Path) -> None:
    """Parameter memory of compiler 16, on the chip and off it, of every stack."""
    checked = 0
    for network, family, item in designs.table(data_root):
        if family not in ("3x3 stacks", "four dense layers") or not item["onchip_used_MiB"]:
            continue
        kept = edge_tpu.load(network).memory
        said = [float(item[f"{place}_MiB"]) for place in ("onchip_used", "offchip")]
        assert kept.on_chip / 2**20 == pytest.approx(said[0], rel=0.01), network.name
        assert kept.off_chip / 2**20 == pytest.approx(said[1], rel=0.01), network.name
        checked += 1
    assert checked > 60


def test_dense_layers_of_the_first_compiler_fill_a_few_tiles() -> None:
    """1.0 said 0.99 MiB (79 layers of 100 units) and 2 MiB (32 of 250): docs/npus.md."""
    for network, said in ((dense_stack(100, 100), 0.993), (dense_stack(100, 250), 2.0)):
        assert edge_tpu.load(network).memory.on_chip / 2**20 == pytest.approx(said, rel=0.06)


def test_measured_rows_lie_in_the_bands(
    samples: list[tuple[designs.Row, edge_tpu.Load]],
) -> None:
    table = edge_tpu.coefficients()
    held = []
    for row, found in samples:
        guess = edge_tpu.seconds(found, row.bus, table["constants"])
        band = table["bands"]["stack" if row.sweep else "network"]
        held.append(conformal.ratio(row.seconds, guess) <= band)
    assert len(held) > 150
    assert sum(held) >= 0.9 * len(held)


def test_a_part_left_out_is_predicted(
    samples: list[tuple[designs.Row, edge_tpu.Load]],
) -> None:
    """Two groups again, as the record of accuracy has all of them."""
    groups = edge_tpu_calibration.parts(samples)
    for group in ("3x3 stacks 4", "resnet"):
        others = [item for item, own in zip(samples, groups, strict=True) if own != group]
        left = [item for item, own in zip(samples, groups, strict=True) if own == group]
        constants = edge_tpu_calibration.fit(others, rounds=4)
        errors = sorted(
            abs(edge_tpu.seconds(found, row.bus, constants) / row.seconds - 1)
            for row, found in left
        )
        assert left
        assert errors[len(errors) // 2] < 0.15, group


def test_the_record_beats_macs_alone() -> None:
    for row in edge_tpu.coefficients()["accuracy"]:
        assert row["median_error"] < row["alternatives"]["MACs only"]["median_error"] / 2


def test_power_lies_between_the_operations_energy_and_the_peak() -> None:
    network = mobilenet_v2()
    time = edge_tpu.latency(network, STICK)
    found = edge_tpu.power(network, STICK, time)
    assert (
        0.1 <= found["chip_power"].low < found["chip_power"].value < 2 == found["chip_power"].high
    )
    assert found["power"].high == 2.5
    energy = found["energy_per_inference"]
    assert energy.value == pytest.approx(found["power"].value * time.value)
    assert energy.low < energy.value < energy.high
    assert "watt" in energy.source
    slow = replace(STICK, clock_mhz=250.0)
    assert edge_tpu.power(network, slow, time)["chip_power"].high == 1
    board = edge_tpu.power(network, targets.load("coral-dev-board"), time)
    assert board["chip_power"].value
    assert board["power"].value is None
    assert board["power"].reason
