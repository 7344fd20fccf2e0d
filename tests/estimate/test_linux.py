"""Latency on Linux boards: how it goes with size, threads and clock, and what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow import targets
from edgeflow.estimate import conformal, linux, linux_calibration
from edgeflow.estimate.edge_tpu_designs import conv_stack, dense_net, mobilenet_v1, mobilenet_v2
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Network
from edgeflow.targets import Target

PI = targets.load("raspberry-pi-4")


def value(network: Network, target: Target = PI, number_format: str = "int8") -> float:
    found = linux.latency(network, target, number_format)
    assert found.value is not None
    return found.value


def changed(target: Target = PI, **settings: str | int) -> Target:
    return replace(target, settings={**target.settings, **settings})


def test_more_work_takes_longer() -> None:
    sizes = [value(conv_stack(filters)) for filters in (16, 32, 100, 300)]
    assert sizes == sorted(sizes)
    assert value(mobilenet_v1(1.0)) > value(mobilenet_v1(0.5)) > value(mobilenet_v1(0.25))


def test_clock_and_threads() -> None:
    network = mobilenet_v2()
    assert value(network, replace(PI, clock_mhz=750)) == pytest.approx(2 * value(network))
    four = value(network, changed(threads=4))
    assert value(network) / 4 < four < value(network) / 2
    dense = dense_net(1000)
    assert value(dense, changed(threads=4)) > 0.9 * value(dense), "dense layers gain nothing"


def test_float_is_slower_and_other_formats_are_assumed() -> None:
    network = mobilenet_v1()
    assert 1.5 < value(network, number_format="float32") / value(network) < 3.5
    mixed = linux.latency(network, PI, "16x8")
    assert mixed.high / mixed.value > linux.latency(network, PI).high / value(network)
    assert "assumed" in mixed.source


def test_old_kernels_suffer_from_depthwise_layers() -> None:
    old, new = targets.load("stm32mp157f-dk2"), changed(targets.load("stm32mp157f-dk2"))
    new = changed(new, kernels="xnnpack")
    assert value(mobilenet_v2(), old) > 2 * value(mobilenet_v2(), new)


def test_a_core_that_was_not_measured_has_a_wider_band() -> None:
    network = mobilenet_v1()
    known, unknown = (
        linux.latency(network, targets.load(name)) for name in ("raspberry-pi-4", "raspberry-pi-5")
    )
    assert unknown.high / unknown.value > known.high / known.value
    assert "not measured" in unknown.source
    assert "not measured" not in known.source


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (replace(PI, architecture="riscv64"), "no processor like"),
        (replace(PI, clock_mhz=None), "clock"),
        (changed(kernels="armnn"), "armnn"),
    ],
)
def test_what_is_not_known_is_null(target: Target, words: str) -> None:
    found = linux.latency(mobilenet_v1(), target)
    assert found.value is None
    assert words in (found.reason or "")


def test_an_empty_network_is_null_and_a_tiny_one_has_a_wide_band() -> None:
    empty = Network("n", conv_stack(8).layers[:1], ("input",), ("input",))
    assert linux.latency(empty, PI).value is None
    tiny = linux.latency(dense_net(8), PI)
    assert "outside of what was measured" in tiny.source


@pytest.fixture(scope="module")
def samples(data_root: Path) -> list[linux_calibration.Sample]:
    return linux_calibration.samples(data_root)


def test_measured_rows_lie_in_the_bands(samples: list[linux_calibration.Sample]) -> None:
    table = linux.coefficients()
    band = table["bands"]["board"]
    held = 0
    for sample in samples:
        guess = linux_calibration.predict(
            sample, table["constants"], table["cycles"][sample[0].architecture]
        )
        held += conformal.ratio(sample[0].seconds, guess) <= band
    assert held >= 0.9 * len(samples)


def test_a_family_left_out_is_predicted(samples: list[linux_calibration.Sample]) -> None:
    """One family again, as the record of accuracy has all: the squeeze networks of two boards."""
    others = [item for item in samples if not item[0].family.startswith("squeezenet")]
    constants, cycles = linux_calibration.fit(others, rounds=4)
    left = [item for item in samples if item[0].family.startswith("squeezenet")]
    assert len(left) >= 3
    for item in left:
        guess = linux_calibration.predict(item, constants, cycles[item[0].architecture])
        assert conformal.ratio(item[0].seconds, guess) < 1.6, item[0].network.name


def test_the_record_beats_macs_alone() -> None:
    for row in linux.coefficients()["accuracy"]:
        assert row["median_error"] < row["alternatives"]["MACs only"]["median_error"]


def test_estimates_are_whole() -> None:
    found = linux.latency(mobilenet_v1(), PI)
    assert isinstance(found, Estimate)
    assert found.low < found.value < found.high
    assert found.unit == "s"
