"""What the rtl backend refuses, all at once, and names, options, estimates without tools."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgeflow.backends import registry
from edgeflow.backends.rtl import names, rules, timing
from edgeflow.backends.rtl.affine_job import Steps, between, fit
from edgeflow.backends.rtl.backend import BACKEND
from edgeflow.errors import RecipeError
from edgeflow.network import Layer, Network, Quantizer, Weight, count_macs
from edgeflow.targets import load

TARGET = load("arty-a7-100t")


def chain(*layers: Layer) -> Network:
    return Network("n", layers, (layers[0].name,), (layers[-1].name,))


def dense(name: str, source: str, inside: int, out: int, bits: float = 6) -> Layer:
    quantizer = Quantizer("fixed", bits, True, 0) if bits < 32 else None
    weights = {"kernel": Weight((inside, out), bits, inside * out, quantizer)}
    layer = Layer(name, "dense", (source,), ((inside,),), (out,), {}, weights)
    return replace(layer, macs=count_macs(layer))


def start(size: int = 4) -> Layer:
    return Layer("x", "input", output_shape=(size,), quantizer=Quantizer("fixed", 8, True, 2))


def found(network: Network, **options) -> list[str]:
    return [str(p) for p in BACKEND.check(network, TARGET, BACKEND.options(options, "test"))]


def test_all_problems_come_at_once() -> None:
    network = chain(
        start(),
        dense("wide", "x", 4, 4, 32),
        Layer("odd", "opaque", ("wide",), ((4,),), (4,), {"type": "FancyOp"}),
        Layer("soft", "softmax", ("odd",), ((4,),), (4,)),
        Layer("third", "quantize", ("soft",), ((4,),), (4,), quantizer=Quantizer("po2", 4)),
        dense("fc", "third", 4, 2),
    )
    text = "\n".join(found(network))
    assert "layer 'wide': weights of 32 bits; at most 12 (retrain with" in text
    assert "method: qkeras" in text
    assert "rtl has no layer 'FancyOp'" in text
    assert "layer 'soft': a softmax inside the model" in text
    assert "rounded as 'po2'" in text


def test_a_clip_below_zero_is_refused_by_both_ways_to_an_fpga() -> None:
    clip = Layer("r", "relu", ("x",), ((4,),), (4,), {"min_value": -1.0, "max_value": 1.0})
    hls4ml = registry.get("hls4ml")
    said = hls4ml.check(chain(start(), clip), TARGET, hls4ml.options({}, "test"))
    for text in (found(chain(start(), clip)), [str(problem) for problem in said]):
        assert any("layer 'r'" in line and "a clip that starts at -1" in line for line in text)


def test_recurrent_layers_have_a_remedy() -> None:
    lstm = Layer("r", "lstm", ("x",), ((4, 2),), (8,))
    entry = replace(start(), output_shape=(4, 2))
    assert "hls4ml" in found(chain(entry, lstm))[0]


def test_too_large_to_unroll_says_how_much_and_offers_stream() -> None:
    network = chain(start(2000), dense("huge", "x", 2000, 1500))
    (problem,) = found(network, style="pipelined")
    assert re.search(r"about [\d,]+ LUTs", problem)
    assert "style: stream" in problem


def test_what_cannot_fit_the_target_is_told_before_anything_is_built() -> None:
    network = chain(start(200), dense("wide", "x", 200, 100))
    board = load("icebreaker")
    (problem,) = BACKEND.check(network, board, BACKEND.options({"style": "pipelined"}, "test"))
    assert re.search(r"about [\d,]+ LUTs of adders .*'icebreaker' has 5,280", problem.message)
    assert "style: stream" in problem.remedy
    for given in ({"style": "pipelined", "build": "rtl"}, {}, {"style": "stream"}):
        assert BACKEND.check(network, board, BACKEND.options(given, "test")) == []
    assert rules.style(network, board, BACKEND.options({}, "test")) == "stream"
    wished = BACKEND.options({"latency_cycles": 3}, "test")
    assert rules.style(network, board, wished) == "pipelined"
    figures = BACKEND.estimate(network, board, BACKEND.options({}, "test"))
    assert figures["lut"].value is None


def test_a_final_softmax_is_the_hosts() -> None:
    network = chain(start(), dense("fc", "x", 4, 3), Layer("s", "softmax", ("fc",), ((3,),), (3,)))
    assert found(network) == []
    assert rules.host_layers(network) == {"s"}


def test_a_convolution_that_is_too_large_streams_by_itself() -> None:
    kernel = Weight((5, 5, 6, 16), 6, 2400, Quantizer("fixed", 6, True, 0))
    entry = replace(start(), output_shape=(28, 28, 6))
    conv = Layer("c", "conv2d", ("x",), ((28, 28, 6),), (24, 24, 16), {"padding": "valid"},
                 {"kernel": kernel})  # fmt: skip
    conv = replace(conv, macs=count_macs(conv))
    network = chain(entry, conv)
    options = BACKEND.options({}, "test")
    assert rules.style(network, TARGET, options) == "stream"
    assert rules.style(chain(start(), dense("d", "x", 4, 3)), TARGET, options) == "pipelined"


def test_what_takes_long_to_unroll_is_shared_in_time_and_the_other_way_is_said() -> None:
    large = load("alveo-u250")
    network = chain(start(128), dense("fc", "x", 128, 96, 8))
    assert rules.LARGEST_AUTO < rules.predict(network)["lut"] < rules.LARGEST
    assert rules.style(network, large, BACKEND.options({}, "test")) == "stream"
    said = rules.shared_because(network, BACKEND.options({}, "test"))
    assert said is not None
    assert "`style: pipelined` unrolls it all the same" in said
    asked = BACKEND.options({"style": "pipelined"}, "test")
    assert rules.style(network, large, asked) == "pipelined"
    assert BACKEND.check(network, large, asked) == []
    assert rules.shared_because(network, BACKEND.options({"style": "stream"}, "test")) is None


def test_what_cannot_be_unrolled_says_how_much_and_what_would_hold_it() -> None:
    network = chain(start(96), dense("fc", "x", 96, 96, 8))
    options = BACKEND.options({"style": "pipelined"}, "test")
    text = "\n".join(str(p) for p in BACKEND.check(network, load("icebreaker"), options))
    assert "times too many" in text
    assert "`style: stream` shares" in text
    assert "such as ulx3s-" in text


def test_a_model_that_is_yet_to_be_retrained_is_not_refused_for_its_size() -> None:
    """Learnt bits and zeros make it ten times smaller: models/digits/open-fpga-tiny.yaml."""
    layer = dense("fc", "x", 64, 20)
    weight = replace(layer.weights["kernel"], bits=8, quantizer=None)
    before = chain(start(64), replace(layer, weights={"kernel": weight}))
    options = BACKEND.options({"latency_cycles": 3}, "test")
    board = load("icebreaker")
    assert rules.predict(before)["lut"] > 3 * 5280
    assert BACKEND.check(before, board, options) == []
    quantized = replace(weight, quantizer=Quantizer("fixed", 8, True, 0))
    after = chain(start(64), replace(layer, weights={"kernel": quantized}))
    assert "too large to unroll" in str(BACKEND.check(after, board, options)[0])


def test_options_are_checked() -> None:
    for wrong in ({"style": "both"}, {"latency_cycles": -1}, {"top": "entity"}, {"speed": 3}):
        with pytest.raises(RecipeError):
            BACKEND.options(wrong, "test")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("jet", "jet"), ("module", "module_top"), ("Entity", "Entity_top"), ("3layer", "net_3layer"),
        ("a__b-", "a_b"), ("ünï", "n"), ("", "model"), ("out", "out_top"), ("_x_", "x"),
    ],
)  # fmt: skip
def test_names_are_legal_in_both_languages(given: str, wanted: str) -> None:
    assert names.legal(given) == wanted
    assert names.legal(wanted) == wanted
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", names.legal(given))


def test_a_slower_clock_allows_more_adders() -> None:
    for name in ("arty-a7-100t", "ulx3s-85f", "icebreaker"):
        target = load(name)
        levels = [timing.levels_for(target, clock) for clock in (300.0, 100.0, 25.0, 10.0)]
        assert levels == sorted(levels)
        assert levels[0] >= 1
        clock = timing.clock(target, levels[2], None)
        assert clock.value is not None
        assert clock.value >= 25e6 or levels[2] == 1


def test_estimates_without_a_design_are_predicted() -> None:
    network = chain(start(), dense("fc", "x", 4, 3))
    figures = BACKEND.estimate(network, TARGET, BACKEND.options({}, "test"))
    assert figures["lut"].method == "model"
    assert figures["lut"].low < figures["lut"].value < figures["lut"].high
    assert figures["dsp"].value == 0
    assert figures["latency_cycles"].value is None


def test_estimates_of_a_synthesis_win() -> None:
    network = chain(start(), dense("fc", "x", 4, 3))
    result = {
        "style": "pipelined", "latency_cycles": 4, "ii": 1, "cost": {"lut": 50.0, "ff": 10},
        "levels": {"stage": 3.0},
        "synthesis": {"utilisation": {"lut": 44, "ff": 9}, "clock_mhz": 50.0, "source": "nextpnr"},
    }  # fmt: skip
    figures = BACKEND.estimate(network, TARGET, BACKEND.options({}, "test"), None, result)
    assert (figures["lut"].value, figures["lut"].method) == (44, "synthesised")
    assert figures["latency"].value == pytest.approx(4 / 50e6)
    assert figures["interval"].value == pytest.approx(1 / 50e6)


def test_the_shortest_factor_gives_every_level() -> None:
    import numpy as np

    steps = Steps(0.0, 1.875, 0.125)
    made = fit(0.7312849, -0.218371, -4.0, 3.96875, 0.03125, steps)
    x = np.arange(-128, 128) / 32
    want = np.clip(np.rint((0.7312849 * x - 0.218371) / 0.125) * 0.125, 0, 1.875)
    have = np.clip(np.rint((made.factor * x + made.offset) / 0.125) * 0.125, 0, 1.875)
    assert np.array_equal(want, have)
    assert made.exact
    assert bin(round(made.factor * 2**20)).count("1") <= 8


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.4), (-5.2, 9.1), (1.01, 1.02), (-0.2, -0.1)])
def test_the_number_between(low: float, high: float) -> None:
    assert low < between(low, high) < high
