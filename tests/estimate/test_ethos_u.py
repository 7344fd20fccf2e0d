"""Ethos-U before Vela: how cycles go with size and MACs, and what Vela says of the same files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeflow import targets
from edgeflow.estimate import ethos_u, workload
from edgeflow.estimate.edge_tpu_designs import mobilenet_v1
from edgeflow.estimate.ethos_u_designs import dense, inverted, plain, residual
from edgeflow.network import Network
from edgeflow.targets import Target

NAMES = [name for name in targets.names() if name.startswith("ethos-u")]


def cycles(network: Network, target: Target) -> float:
    found = ethos_u.estimate(network, target)["latency_cycles"].value
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_target_has_time_and_memory(name: str) -> None:
    target = targets.load(name)
    found = ethos_u.estimate(mobilenet_v1(0.25, 96, 2), target)
    for quantity in ("latency_cycles", "latency", "throughput", "sram", "flash"):
        figure = found[quantity]
        assert figure.low < figure.value < figure.high, quantity
        assert "Vela" in figure.source
    assert found["latency"].value == pytest.approx(
        found["latency_cycles"].value / (target.clock_mhz * 1e6)
    )


@pytest.mark.parametrize("name", NAMES)
def test_more_work_takes_longer(name: str) -> None:
    target = targets.load(name)
    times = [cycles(plain(32, filters, 4), target) for filters in (8, 16, 40, 96, 256)]
    assert times == sorted(times)
    assert len(set(times)) == len(times)


@pytest.mark.parametrize("pair", [("u55-32", "u55-64"), ("u55-128", "u55-256")])
def test_more_macs_are_faster(pair: tuple[str, str]) -> None:
    small, large = (targets.load(f"ethos-{name}") for name in pair)
    for network in (plain(64, 64, 4), residual(32, 16), inverted(96, 1.0)):
        assert cycles(network, large) < cycles(network, small)


def test_dense_layers_wait_for_their_kernels() -> None:
    """Twice the bandwidth makes them faster; more MACs do not."""
    target = targets.load("ethos-u55-128")
    bandwidth = target.figure("memory", "bandwidth")
    assert bandwidth is not None
    wide = replace(bandwidth, value=2 * bandwidth.value)
    faster = replace(target, memory={**target.memory, "bandwidth": wide})
    network = dense(1024, 2)
    assert cycles(network, faster) < 0.6 * cycles(network, target)
    assert cycles(network, targets.load("ethos-u55-256")) > 0.9 * cycles(network, target)


def test_memory() -> None:
    network = plain(32, 16, 4)
    target = targets.load("ethos-u55-128")
    alive = 2 * 32 * 32 * 16
    assert ethos_u.alive_bytes(network) == alive, "input and output of a layer; folds share one"
    assert ethos_u.sram(network, target) == alive
    large = plain(512, 64, 4)
    board = targets.load("ethos-u85-1024")
    assert ethos_u.sram(large, board) == board.figure("memory", "on_chip").value
    kernels = sum(work.weights for work in workload.of(network))
    assert 0.5 * kernels < ethos_u.flash(network) < 2 * kernels


def test_what_is_not_known_is_null() -> None:
    other = targets.load("coral-usb-accelerator")
    found = ethos_u.estimate(plain(32, 16, 4), other)
    assert all(figure.value is None and figure.reason for figure in found.values())
    empty = Network("n", plain(8, 8, 1).layers[:1], ("input",), ("input",))
    found = ethos_u.estimate(empty, targets.load("ethos-u55-128"))
    assert all(figure.value is None for figure in found.values())


def test_the_record_beats_macs_alone() -> None:
    row = ethos_u.coefficients()["accuracy"][0]
    assert row["median_error"] < row["alternatives"]["MACs only"]["median_error"] / 2
    assert row["held"] >= 0.85 * row["held_of"]
