"""Latency of hls4ml designs without a synthesis: its arithmetic, and how far it is off."""

from __future__ import annotations

import csv
import itertools
import json

import pytest

from edgeflow import targets
from edgeflow.backends import registry
from edgeflow.estimate import hls_calibration, hls_designs, hls_latency, hls_schedule
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Layer, Network, Weight

CONSTANTS = {
    "mul_ns": 2.0, "add_ns": 1.0, "softmax_ns": 10.0, "table_ns": 6.0, "simple_ns": 0.5,
    "seven_series": 2.0, "reuse_cycles": 3.0, "stream_depth": 1.0, "stream_word_vivado": 2.0,
    "stream_word_vitis": 2.0, "stream_reuse_cycles": 10.0, "link_cycles": 0.0,
}  # fmt: skip


def dense(inputs: int, outputs: int, bits: float = 8, nonzero: int | None = None) -> Network:
    return Network(
        "n",
        (
            Layer("x", "input", output_shape=(inputs,)),
            Layer(
                "d",
                "dense",
                ("x",),
                ((inputs,),),
                (outputs,),
                weights={"kernel": Weight((inputs, outputs), bits, nonzero)},
            ),
        ),
        ("x",),
        ("d",),
    )


def conv() -> Network:
    """A 3x3 convolution of an 8x8 image, and a dense layer on its flat output."""
    return Network(
        "n",
        (
            Layer("x", "input", output_shape=(8, 8, 1)),
            Layer(
                "c", "conv2d", ("x",), ((8, 8, 1),), (6, 6, 4),
                weights={"kernel": Weight((3, 3, 1, 4), 6)},
            ),
            Layer("f", "flatten", ("c",), ((6, 6, 4),), (144,)),
            Layer(
                "d", "dense", ("f",), ((144,),), (10,),
                weights={"kernel": Weight((144, 10), 6)},
            ),
        ),
        ("x",),
        ("d",),
    )  # fmt: skip


def cycles(network: Network, io: str = "parallel", **given: object) -> tuple[float, float]:
    settings: dict[str, object] = {
        "strategy": "latency",
        "reuse_factors": {},
        "clock_mhz": 200,
        "architecture": "virtex-ultrascale+",
        "compiler": "vitis",
    }
    return hls_schedule.schedule(network, io=io, constants=CONSTANTS, **{**settings, **given})


def test_unrolled_dense_is_multiplier_and_adder_tree():
    # 2 ns and four levels of 1 ns, at 200 MHz (5 ns): 1.2 periods, of which one is free.
    latency, interval = cycles(dense(15, 4))
    assert latency == pytest.approx(0.2)
    assert interval == 1
    slow, _ = cycles(dense(15, 4), architecture="zynq-7000")
    assert slow == pytest.approx(1.4)
    sparse, _ = cycles(dense(15, 4, nonzero=12), architecture="zynq-7000")
    assert sparse == pytest.approx((2 + 2) * 2 / 5 - 1)


def test_resource_strategy_takes_the_reuse_factor():
    latency, interval = cycles(dense(15, 4), strategy="resource", reuse_factors={"d": 15})
    assert interval == 15
    assert latency == pytest.approx(1.2 + 3 + 15 - 1 - 1)


def test_latency_strategy_shares_wide_products_alone():
    narrow = cycles(dense(64, 32, bits=6), reuse_factors={"d": 512})
    wide = cycles(dense(64, 32, bits=14), reuse_factors={"d": 512})
    assert narrow[1] < 40
    assert 400 < wide[1] < 512  # products of three digits or more, four at a time


def test_convolution_in_parallel_goes_from_position_to_position():
    latency, interval = cycles(conv(), strategy="resource", reuse_factors={"c": 9, "d": 1})
    assert interval == 36 * 9
    assert latency > interval


def test_stream_goes_at_the_pace_of_the_slowest():
    network = conv()
    latency, interval = cycles(network, io="stream")
    assert interval == 64 * 2  # every input position takes a word's time
    assert interval < latency < interval + 64
    reused = {"c": 9, "d": 1}
    _, slower = cycles(network, io="stream", strategy="resource", reuse_factors=reused)
    assert slower == 64 * (9 + 10)


def test_vivado_divides_in_average_pooling_over_the_edge():
    def pool(padding: str, rows: int) -> Network:
        return Network(
            "n",
            (
                Layer("x", "input", output_shape=(121, 3)),
                Layer(
                    "p", "avg_pool1d", ("x",), ((121, 3),), (rows, 3),
                    {"pool_size": 2, "strides": 2, "padding": padding},
                ),
            ),
            ("x",), ("p",),
        )  # fmt: skip

    assert cycles(pool("same", 61), compiler="vivado")[0] > 20
    assert cycles(pool("same", 61))[0] < 1
    assert cycles(pool("valid", 60), compiler="vivado")[0] < 1


def estimate(network: Network, **given: object) -> dict[str, Estimate]:
    settings: dict[str, object] = {
        "io": "parallel",
        "strategy": "latency",
        "reuse_factors": {},
        "clock_mhz": 100.0,
    }
    return hls_latency.estimate(network, **{**settings, **given})


def test_estimate_has_a_band_and_says_what_it_saw():
    found = estimate(conv(), io="stream")
    latency, seconds = found["latency_cycles"], found["latency"]
    assert seconds.value == pytest.approx(latency.value * 1e-8)
    assert seconds.low == pytest.approx(latency.low * 1e-8)
    assert latency.low < latency.value < latency.high
    assert found["ii"].low <= found["ii"].value <= found["ii"].high
    assert found["ii"].low >= 1
    band = hls_latency.coefficients()["bands"]["stream"]["latency"]
    assert latency.high == pytest.approx((latency.value + 3) * band["factor"] - 3, abs=1)
    assert f"{band['within']} of {band['rows']}" in latency.source


def test_small_reuse_is_as_uncertain_as_its_arithmetic():
    bands = hls_latency.coefficients()["bands"]
    network = dense(16, 64)

    def factor(reuse: int) -> float:
        found = estimate(network, strategy="resource", reuse_factors={"d": reuse})
        latency = found["latency_cycles"]
        return (latency.high + 3) / (latency.value + 3)

    assert factor(2) > factor(16) > factor(1024)
    assert factor(1024) == pytest.approx(bands["dense_reused"]["latency"]["factor"], rel=0.02)


def test_a_kind_that_no_report_held_widens_the_band():
    kinds = hls_latency.coefficients()["bands"]["stream"]["kinds"]
    assert "gru" not in kinds
    gru = Layer(
        "g", "gru", ("x",), ((20, 6),), (8,), weights={"kernel": Weight((6, 24), 6)}
    )  # fmt: skip
    network = Network(
        "n", (Layer("x", "input", output_shape=(20, 6)), gru), ("x",), ("g",)
    )  # fmt: skip
    found = estimate(network, io="stream")["latency_cycles"]
    assert "gru" in found.source
    assert found.high > hls_latency.UNSEEN * found.value


def test_backend_gives_energy_from_it():
    target, backend = targets.load("pynq-z2"), registry.get("hls4ml")
    found = backend.estimate(conv(), target, backend.options({}, "here"))
    energy, latency = found["energy_per_inference"], found["latency"]
    assert energy.value == pytest.approx(found["power"].value * latency.value)
    for name in ("energy_per_inference", "chip_energy_per_inference", "fabric_power"):
        assert 0 < found[name].low < found[name].value < found[name].high
    faster = backend.estimate(conv(), target, backend.options({"clock_mhz": 200}, "here"))
    assert faster["latency"].value < latency.value


def test_what_is_not_known_is_null_with_its_reason():
    network = dense(4, 4)
    strange = Layer("o", "opaque", ("d",), ((4,),), (4,), {"type": "FFT"})
    found = estimate(network.with_layers((*network.layers, strange)))
    assert {name: figure.value for name, figure in found.items()} == {
        "latency_cycles": None, "ii": None, "latency": None,
    }  # fmt: skip
    assert "opaque" in found["latency"].reason
    assert "clock" in estimate(network, clock_mhz=None)["latency"].reason
    with pytest.raises(ValueError, match="clock"):
        estimate(network, clock_mhz=0)
    with pytest.raises(ValueError, match="io"):
        estimate(network, io="serial")


@pytest.mark.parametrize(
    ("io", "given", "regime"),
    [
        ("parallel", {}, "unrolled"),
        ("parallel", {"strategy": "resource", "reuse_factors": {"d": 4}}, "reused"),
        ("parallel", {"strategy": {"d": "latency"}, "reuse_factors": {"d": 4}}, "shared"),
        ("stream", {}, "stream_flat"),
    ],
)
def test_regimes(io, given, regime):
    settings = {"strategy": "latency", "reuse_factors": {}} | given
    alone = "dense_" if io == "parallel" else ""
    assert hls_latency.regime(dense(8, 8), io, **settings) == alone + regime
    network = dense(8, 8)
    more = Layer("r", "relu", ("d",), ((8,),), (8,))
    whole = network.with_layers((*network.layers, more))
    assert hls_latency.regime(whole, io, **settings) == regime


def test_shipped_coefficients_are_those_of_the_data(data_root):
    """The constants follow from the ground truth alone."""
    constants = hls_calibration.fit(hls_designs.designs(data_root))
    assert constants == hls_latency.coefficients()["constants"]


def test_shipped_bands_hold_the_designs_that_were_seen(data_root):
    """At least nine in ten of each regime's groups, groups counting alike."""
    within: dict[str, dict[str, list[bool]]] = {}
    for design in hls_designs.designs(data_root):
        found = hls_latency.estimate(
            design.network,
            io=design.io,
            strategy=design.strategy,
            reuse_factors=design.reuse,
            clock_mhz=design.clock_mhz,
            architecture=design.architecture,
            compiler=design.compiler,
        )
        latency, interval = found["latency_cycles"], found["ii"]
        group = within.setdefault(design.regime, {}).setdefault(design.group, [])
        group.append(
            latency.low <= design.latency <= latency.high
            and interval.low <= design.interval <= interval.high
        )
    assert set(within) == set(hls_latency.coefficients()["bands"])
    for regime, groups in within.items():
        share = sum(sum(held) / len(held) for held in groups.values()) / len(groups)
        assert share >= 0.8, regime


def test_a_measured_board_is_within_the_band(data_root):
    """AD08 of MLPerf Tiny v0.7 (dense 64-72-72-8-72-72-64, io_stream, R = 144 where legal)."""
    with (data_root / "ground_truth" / "mlperf_tiny_energy.csv").open(newline="") as stream:
        (row,) = [
            row
            for row in csv.DictReader(stream)
            if row["board"] == "Xilinx Pynq Z2" and row["benchmark"] == "ad"
        ]
    widths = (64, 72, 72, 8, 72, 72, 64)
    layers = [Layer("x", "input", output_shape=(64,))]
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        layers.append(
            Layer(
                f"d{index}", "dense", (layers[-1].name,), ((before,),), (after,),
                weights={"kernel": Weight((before, after), 13)},
            )
        )  # fmt: skip
        layers.append(Layer(f"r{index}", "relu", (f"d{index}",), ((after,),), (after,)))
    network = Network("ad08", tuple(layers), ("x",), (layers[-1].name,))
    target, backend = targets.load("pynq-z2"), registry.get("hls4ml")
    given = {"io": "stream", "strategy": "resource", "reuse_factor": 144}
    found = backend.estimate(network, target, backend.options(given, "here"))
    assert found["latency"].low < float(row["latency_ms"]) * 1e-3 < found["latency"].high
    energy = float(row["energy_uJ_per_inf"]) * 1e-6
    assert found["energy_per_inference"].low < energy < found["energy_per_inference"].high


def test_firmware_of_a_real_project_becomes_a_network(data_root):
    (found,) = [
        design for design in hls_designs.projects(data_root) if design.name.startswith("ChiRuiChen")
    ]
    kinds = [layer.kind for layer in found.network]
    assert kinds.count("conv2d") == 7
    assert found.io == "stream"
    assert sorted(set(found.reuse.values())) == [9, 36, 72]
    json.dumps(found.network.to_json())
