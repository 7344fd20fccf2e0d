"""What the hls4ml backend says that a design costs, from a Network alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeflow import targets
from edgeflow.backends import registry
from edgeflow.backends.hls4ml import costs
from edgeflow.errors import InputError, ModelError
from edgeflow.estimate import hls_logic
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Layer, Network, Quantizer, Weight

BACKEND = registry.get("hls4ml")
U250 = targets.load("alveo-u250")


def dense(n_in: int, n_out: int, bits: float = 8, **attributes: Any) -> Network:
    """One dense layer as a person's Network JSON has it."""
    kernel = Weight((n_in, n_out), bits)
    layers = (
        Layer("x", "input", output_shape=(n_in,)),
        Layer("fc", "dense", ("x",), ((n_in,),), (n_out,), attributes, {"kernel": kernel}),
    )
    return Network("n", layers, ("x",), ("fc",), {"format": "network"})


def figures(network: Network, **options: Any) -> dict[str, Estimate]:
    return BACKEND.estimate(network, U250, BACKEND.options({"compiler": "vitis", **options}, "."))


def test_a_network_without_types_has_hls4mls() -> None:
    # dense_192_128_8b, reuse factor 384 (wa-hls4ml): 16540 LUT, 2681 FF, 64 DSP, 15 BRAM.
    found = figures(dense(192, 128, strategy="resource", reuse_factor=384))
    assert found["lut"].value == pytest.approx(16540, rel=0.02)
    assert found["ff"].value == pytest.approx(2681, rel=0.08)
    assert (found["dsp"].value, found["bram_18k"].value) == (64, 15)
    assert found["uram"].value == 0


def test_a_models_sums_are_exact_and_so_wider() -> None:
    network = dense(192, 128, strategy="resource", reuse_factor=384)
    ours = figures(replace(network, source={"format": "keras3"}))
    assert (ours["lut"].value or 0) > 1.3 * (figures(network)["lut"].value or 0)


def test_attributes_count_where_the_options_leave_it_open() -> None:
    network = dense(64, 64, strategy="resource", reuse_factor=128)
    assert figures(network)["dsp"].value == 32
    assert figures(network, strategy="resource", reuse_factor=256)["dsp"].value == 16


def test_a_reuse_factor_that_does_not_divide_is_told() -> None:
    found = figures(dense(64, 64, strategy="resource", reuse_factor=130))
    assert found["dsp"].value == 32
    assert "reuse factor 130 does not divide, 128 is taken" in found["lut"].source


def test_a_convolution_keeps_a_factor_above_its_window() -> None:
    kernel = Weight((3, 1, 16), 16)
    layers = (
        Layer("x", "input", output_shape=(200, 1)),
        Layer(
            "c", "conv1d", ("x",), ((200, 1),), (198, 16),
            {"strategy": "resource", "reuse_factor": 48}, {"kernel": kernel},
        ),
    )  # fmt: skip
    network = Network("n", layers, ("x",), ("c",), {"format": "network"})
    found = figures(network, io="stream")
    assert found["dsp"].value == 1
    assert (found["ii"].value or 0) > 200 * 48


def test_digits_in_the_network_are_used() -> None:
    counts = {
        "nonzero": 2048, "columns": 64, "negated": 10, "pairs": 100, "hard": 1947,
        "pair_uses": 100, "hard_uses": 1900,
    }  # fmt: skip
    assert figures(dense(32, 64, 14, digits=counts))["dsp"].value == 1947
    with pytest.raises(ModelError, match="digits"):
        figures(dense(32, 64, 14, digits={"nonzero": -1}))


def test_mean_bits_below_the_type_are_those_of_the_weights() -> None:
    def hard(bits: float) -> float:
        network = dense(64, 32)
        wide = Quantizer("fixed", 12, integer=0)
        fc = replace(network["fc"], weights={"kernel": Weight((64, 32), bits, 1000, wide)})
        return figures(network.with_layers((network["x"], fc)))["dsp"].value or 0.0

    assert hard(4.5) < 0.2 * hard(12)


def test_multipliers_can_be_bound() -> None:
    options = BACKEND.options({"compiler": "vitis"}, ".")

    def bound(to: str) -> dict[str, Estimate]:
        settings = {**U250.settings, "multipliers": to}
        return BACKEND.estimate(dense(32, 16), replace(U250, settings=settings), options)

    assert (bound("dsp")["dsp"].value or 0) > 50
    assert bound("logic")["dsp"].value == 0
    assert (bound("logic")["lut"].value or 0) > (bound("dsp")["lut"].value or 0)
    with pytest.raises(InputError, match="multipliers"):
        bound("lut")


def test_after_logic_synthesis_there_is_less() -> None:
    found = figures(dense(64, 64, strategy="resource", reuse_factor=64))
    logic, hls = found["lut_logic"], found["lut"]
    assert logic.value is not None
    assert hls.value is not None
    assert logic.value < hls.value
    assert logic.low is not None
    assert logic.high is not None
    assert hls.high is not None
    assert logic.high / logic.value > hls.high / hls.value


def test_an_axi_wrapper_costs_and_waits() -> None:
    board = targets.load("pynq-z2")
    network = dense(16, 5, strategy="resource", reuse_factor=16)
    core = BACKEND.estimate(network, board, BACKEND.options({"compiler": "vivado"}, "."))
    options = BACKEND.options({"compiler": "vivado_accelerator"}, ".")
    whole = BACKEND.estimate(network, board, options)
    assert (whole["lut"].value or 0) - (core["lut"].value or 0) == hls_logic.AXI["parallel"]["lut"]
    assert (whole["latency_cycles"].value or 0) > (core["latency_cycles"].value or 0) + 30
    assert (whole["ii"].value or 0) > (core["ii"].value or 0)


def test_layers_add_up_to_the_whole() -> None:
    network = dense(64, 64, strategy="resource", reuse_factor=64)
    options = BACKEND.options({"compiler": "vitis"}, ".")
    layers = costs.by_layer(network, U250, options)
    assert set(layers) == {"fc"}
    assert layers["fc"]["lut"] == pytest.approx(figures(network)["lut"].value, abs=1)
    assert layers["fc"]["ii"] == 64


def test_the_clock_that_is_reached_has_a_band() -> None:
    clock = figures(dense(8, 8), clock_mhz=100)["clock"]
    assert clock.value == 1e8
    assert clock.low is not None
    assert clock.low < 5e7


def test_what_fits_a_small_board() -> None:
    board = targets.load("pynq-z2")
    options = BACKEND.options({"compiler": "vitis"}, ".")
    found = costs.fit(dense(64, 64, 16), board, options)
    assert "dsp" in found.over
    assert found.strategy == "resource"
    assert found.reuse_factors is not None
    assert found.bits is not None
    factor = found.reuse_factors["fc"]
    shared = BACKEND.options(
        {"compiler": "vitis", "strategy": "resource", "reuse_factor": factor}, "."
    )
    assert not costs.fit(dense(64, 64, 16), board, shared).over
    assert not costs.fit(dense(8, 8, 4), board, options).over


def test_logic_factors_are_those_of_the_data(data_root: Path) -> None:
    pairs = hls_logic.pairs(data_root)
    assert len(pairs) == 11
    assert 0.3 < hls_logic.factor(pairs, "lut") < 0.8
    assert hls_logic.factor(pairs, "dsp") == 1.0
