"""Energies of operations: the published numbers, and the rules between them."""

from __future__ import annotations

import pytest

from edgeflow import targets, whatif
from edgeflow.errors import InputError
from edgeflow.estimate import operations
from edgeflow.estimate.operations import Process
from edgeflow.network import Layer, Network, Quantizer, Weight


def network(bits: float = 8, nonzero: int | None = None) -> Network:
    rounded = Quantizer("fixed", bits)
    kernel = Weight((100, 10), bits=bits, nonzero=nonzero)
    return Network(
        "n",
        (
            Layer("x", "input", output_shape=(100,), quantizer=rounded),
            Layer(
                "d", "dense", ("x",), ((100,),), (10,), weights={"kernel": kernel},
                quantizer=rounded, macs=1000,
            ),
        ),
        ("x",),
        ("d",),
    )  # fmt: skip


def test_the_published_numbers() -> None:
    """Horowitz, ISSCC 2014, figure 1.1.9 (pJ)."""
    assert operations.add(8) == pytest.approx(0.03e-12)
    assert operations.add(32) == pytest.approx(0.1e-12)
    assert operations.add(16, floating=True) == pytest.approx(0.4e-12)
    assert operations.add(32, floating=True) == pytest.approx(0.9e-12)
    assert operations.multiply(8, 8) == pytest.approx(0.2e-12)
    assert operations.multiply(32, 32) == pytest.approx(3.1e-12)
    assert operations.multiply(16, 16, floating=True) == pytest.approx(1.1e-12)
    assert operations.multiply(32, 32, floating=True) == pytest.approx(3.7e-12)
    assert operations.sram(64, 8 * 1024) == pytest.approx(10e-12)
    assert operations.sram(64, 32 * 1024) == pytest.approx(20e-12, rel=0.2)
    assert operations.sram(64, 1024 * 1024) == pytest.approx(100e-12)
    assert operations.dram(64) == pytest.approx((1300e-12, 2600e-12))


def test_few_bits_cost_little() -> None:
    assert operations.multiply(4, 4) < operations.multiply(4, 8) < operations.multiply(8, 8)
    assert operations.multiply(4, 8) == operations.multiply(8, 4)
    assert operations.add(4) == pytest.approx(operations.add(8) / 2)


def test_another_node_scales_with_length_and_voltage_squared() -> None:
    old, new = Process.of(90, 1.2), Process.of(22.5, 0.6)
    assert operations.add(8, old) / operations.add(8, new) == pytest.approx(4 * 4)
    assert Process.of(45).scale == 1
    assert Process.of(28).volts == 0.9
    assert Process.of(45).factor < Process.of(28).factor


def test_a_network_is_the_sum_of_its_operations() -> None:
    found = operations.network_energy(network(), memory_bytes=8 * 1024)
    arithmetic = 1000 * (operations.multiply(8, 8) + operations.add(20))
    memory = operations.sram(8 * (1000 + 100 + 10), 8 * 1024)
    assert found["layers"]["d"] == pytest.approx({"arithmetic": arithmetic, "memory": memory})
    assert found["total"].value == pytest.approx(arithmetic + memory)
    assert "without clocks" in found["total"].source


def test_pruned_weights_are_not_multiplied() -> None:
    full, half = (
        operations.network_energy(network(nonzero=count))["layers"]["d"]["arithmetic"]
        for count in (1000, 500)
    )
    assert half == pytest.approx(full / 2)


def test_a_node_is_asked_for_with_a_setting() -> None:
    assert set(operations.ASKED) <= set(whatif.SETTINGS)
    target = targets.load("nucleo-l4r5zi")
    assert operations.extend(network(), target) == {}
    asked = whatif.apply(target, settings={"node_nm": 45})
    found = operations.extend(network(), asked)["operation_energy"]
    assert found.value == operations.network_energy(network())["total"].value
    with pytest.raises(InputError, match="number for node_nm"):
        operations.extend(network(), whatif.apply(target, settings={"node_nm": "small"}))


@pytest.mark.parametrize(("node", "volts"), [(0, None), (1e6, None), (45, 0.0), (45, 400.0)])
def test_a_process_that_cannot_be(node: float, volts: float | None) -> None:
    with pytest.raises(InputError):
        Process.of(node, volts)
