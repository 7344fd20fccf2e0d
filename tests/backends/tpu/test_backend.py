from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow.backends.tpu.backend import BACKEND
from edgeflow.backends.tpu.hlo import Cycles, count_cycles
from edgeflow.errors import RecipeError
from edgeflow.network import Layer, Network, Quantizer
from edgeflow.targets import Figure

spec = importlib.util.spec_from_file_location(
    "tpu_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)

OPTIONS = {"precision": "float32", "rescaling": "fixed_point", "batch": 1}
AHEAD = {
    "generation": "v5e", "batch": 4, "flops": 1e6, "bytes_accessed": 819e3, "libtpu": "0.0",
    "memory": {"arguments": 10, "outputs": 20, "temporaries": 30, "code": 40},
    "cycles": 150_300, "loops_unknown": 0,
}  # fmt: skip


def test_options_have_defaults():
    assert BACKEND.options({}, "here") == OPTIONS
    given = {"precision": "bfloat16", "batch": 32}
    assert BACKEND.options(given, "here") == OPTIONS | given


def test_wrong_options_are_said_at_once():
    with pytest.raises(RecipeError) as caught:
        BACKEND.options({"precison": "float32", "batch": 0, "precision": "int4"}, "recipe.yaml:7")
    text = str(caught.value)
    assert "recipe.yaml:7" in text
    assert "did you mean 'precision'" in text
    assert "'batch': input should be greater than or equal to 1, found 0" in text
    assert "'precision': input should be 'float32', 'bfloat16' or 'int8'" in text
    assert "found 'int4'" in text


@pytest.mark.parametrize("batch", [True, "4", 1.5, -1])
def test_a_batch_is_a_whole_number(batch):
    with pytest.raises(RecipeError):
        BACKEND.options({"batch": batch}, "here")


def test_a_good_network_has_no_problem():
    assert BACKEND.check(networks.small()[0], networks.tpu(), OPTIONS) == []


def test_every_problem_at_once_each_with_a_remedy():
    layers = (
        Layer("x", "input", output_shape=(None, 4)),
        Layer("odd", "opaque", ("x",), ((None, 4),), (8, 4), {"type": "FFT"}),
        Layer("pad", "pad", ("odd",), ((8, 4),), (9, 4), {"padding": [[1, 0]], "mode": "wrap"}),
        Layer("cell", "lstm", ("pad",), ((9, 4),), (2,), {"activation": "quantized_tanh"}),
        Layer("q", "quantize", ("cell",), ((2,),), (2,), quantizer=Quantizer("log", 4)),
    )
    network = Network("bad", layers, ("x",), ("q",))
    found = BACKEND.check(network, networks.tpu("v9"), OPTIONS)
    assert [problem.layer for problem in found] == [None, "odd", "pad", "cell", "q", "x"]
    assert all(problem.remedy for problem in found)
    text = "\n".join(map(str, found))
    for part in ("v9", "FFT", "wrap", "quantized_tanh", "'log'", "dynamic: (?, 4)"):
        assert part in text


def test_another_kind_of_target_is_refused():
    (problem,) = BACKEND.check(networks.small()[0], networks.tpu(kind="fpga"), OPTIONS)
    assert "is a fpga, no TPU" in problem.message


def test_what_does_not_fit_the_memory_is_refused():
    target = networks.tpu(memory={"hbm": Figure(20_000, "doc")})
    network = networks.small()[0]
    assert BACKEND.check(network, target, OPTIONS) == []
    (problem,) = BACKEND.check(network, target, {**OPTIONS, "batch": 64})
    assert "batch 64" in problem.message
    assert "GB too much" in problem.message
    assert "smaller batch" in problem.remedy
    assert "such as tpu-v" in problem.remedy


def test_estimates_without_the_compiler():
    """What only it says is null with the reason; cycles come from a roofline."""
    found = BACKEND.estimate(
        networks.small()[0], networks.tpu(), OPTIONS, None, {"ahead_reason": "no network"}
    )
    assert found["macs"].value == 15104
    assert found["weight_memory"].value == 4 * (216 + 8 + 1280)
    for name in ("flops", "hbm_footprint", "bytes_accessed"):
        assert found[name].value is None
        assert found[name].reason == "no network"
    latency = found["latency"]
    assert latency.method == "model"
    assert "not compiled" in latency.source
    assert latency.low < latency.value < latency.high
    assert found["latency_cycles"].value == pytest.approx(latency.value * 1503e6)
    assert found["power"].value is None
    assert found["chip_power"].reason


def test_estimates_with_the_compilers_figures():
    power = {"chip_active": Figure(170, "paper", 90, 192), "board_active": None}
    target = networks.tpu(power=power, sources={"paper": "Jouppi 2023"})
    found = BACKEND.estimate(networks.small()[0], target, OPTIONS, None, {"ahead": AHEAD})
    latency = found["latency"]
    assert latency.value == pytest.approx(150_300 / 1503e6)  # 100 us; the bytes take 1 us
    assert latency.high > latency.value + 200e-6
    assert found["throughput"].value == pytest.approx(4 / latency.value)
    assert found["throughput"].low == pytest.approx(4 / latency.high)
    assert found["hbm_footprint"].value == 100
    energy = found["chip_energy_per_inference"]
    assert energy.value == pytest.approx(170 * latency.value / 4)
    assert energy.low < 90 * latency.value / 4
    assert energy.high > 192 * latency.value / 4
    assert "Jouppi 2023" in energy.source


def test_a_memory_bound_graph_takes_as_long_as_its_bytes():
    found = BACKEND.estimate(
        networks.small()[0], networks.tpu(), OPTIONS, None,
        {"ahead": {**AHEAD, "bytes_accessed": 819e6}},
    )  # fmt: skip
    assert found["latency"].value == pytest.approx(1e-3)
    assert "bandwidth" in found["latency"].source


def test_a_loop_of_unknown_length_has_no_latency():
    found = BACKEND.estimate(
        networks.small()[0], networks.tpu(), OPTIONS, None,
        {"ahead": {**AHEAD, "loops_unknown": 1}},
    )  # fmt: skip
    assert found["latency"].value is None
    assert "loop" in found["latency"].reason


def test_flops_of_a_loop_are_not_said():
    found = BACKEND.estimate(
        networks.small()[0], networks.tpu(), OPTIONS, None, {"ahead": {**AHEAD, "loops": 1}}
    )
    assert found["flops"].value is None
    assert found["latency"].value is not None


def test_bfloat16_weights_take_half():
    network = networks.small()[0]
    found = BACKEND.estimate(network, networks.tpu(), {"precision": "bfloat16", "batch": 1})
    assert found["weight_memory"].value == 2 * (216 + 1280) + 4 * 8


def test_ahead_is_left_out_for_an_unknown_generation(tmp_path):
    from edgeflow.backends.base import Request

    network, arrays = networks.small()
    model = networks.save(tmp_path, network, arrays)
    assert BACKEND.ahead(Request(model, networks.tpu("v9"), OPTIONS), tmp_path) is None
    job = BACKEND.ahead(Request(model, networks.tpu("v4"), OPTIONS), tmp_path)
    assert job.params["options"] == {"chip_config_name": "megacore"}


def test_tolerance_is_that_of_the_precision():
    from edgeflow.backends.tpu.backend import tolerance

    network = networks.small()[0]
    quantised = replace(network, layers=networks.small(Quantizer("fixed", 6, False, 3))[0].layers)
    plain = tolerance(network, OPTIONS, 2.0).absolute
    assert plain == pytest.approx(2e-3)  # of a range of 2: five times the largest seen
    assert tolerance(quantised, OPTIONS, 2.0).absolute > plain
    assert tolerance(network, {"precision": "bfloat16"}, 2.0).absolute > plain
    # A float TFLite model is held to the float tolerance, only integer kernels round otherwise.
    assert tolerance(replace(network, source={"format": "tflite"}), OPTIONS, 2.0).absolute == plain


HLO = """HloModule m

%body.1 (p: f32[4]) -> f32[4] {
  %add.2 = f32[4]{0} add(%p, %p), metadata={op_name="jit(model)/rnn/while/body/add"}, backend_config={"estimated_cycles":"10"}
}

%cond.1 (p: f32[4]) -> pred[] {
  %constant.3 = s32[]{:T(128)} constant(9)
  ROOT %lt = pred[] compare(%p, %constant.3), direction=LT, metadata={op_name="jit(model)/rnn/while/cond/lt"}
}

%fused (p: f32[4]) -> f32[4] {
  %inner = f32[4]{0} add(%p, %p), metadata={op_name="jit(model)/deep/add"}, backend_config={"estimated_cycles":"999"}
}

ENTRY %main.4 (x: f32[4]) -> f32[4] {
  %fusion.1 = f32[4]{0} fusion(%x), calls=%fused, metadata={op_name="jit(model)/conv/add"}, backend_config={"estimated_cycles":"100"}
  %fusion.2 = f32[4]{0} fusion(%fusion.1), calls=%fused, backend_config={"estimated_cycles":"300"}
  %while.1 = f32[4]{0} while(%fusion.2), condition=%cond.1, body=%body.1, backend_config={"known_trip_count":{"n":"7"}}
  ROOT %copy.1 = f32[4]{0} copy(%while.1), backend_config={"estimated_cycles":"5"}
}
"""


def test_cycles_count_loops_and_name_layers():
    found = count_cycles(HLO, ["conv", "rnn", "deep"])
    assert found == Cycles(475, {"": 5, "conv": 100, "deep": 300, "rnn": 70}, 1, 0)


def test_a_loops_trips_are_read_from_its_condition():
    silent = HLO.replace(', backend_config={"known_trip_count":{"n":"7"}}', "")
    assert count_cycles(silent, ["rnn"]).layers["rnn"] == 90
    odd = silent.replace("direction=LT", "direction=NE")
    found = count_cycles(odd, ["rnn"])
    assert (found.layers["rnn"], found.unknown) == (10, 1)
