"""Types: emulated like the C++, examined where they lose something, tuned to what is needed."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from edgeflow import verifying
from edgeflow.backends.base import Request
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.errors import UnsupportedError
from edgeflow.frontends.reference import reference_job
from edgeflow.jobs import Runner
from edgeflow.store import Store

spec = importlib.util.spec_from_file_location(
    "hls4ml_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
sys.modules["hls4ml_networks"] = networks
spec.loader.exec_module(networks)


def request_for(runner, draft, folder, given, count=1000):
    model = draft.save(folder / "model")
    shape = model.network.layers[0].output_shape
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    np.savez(folder / "x.npz", x=x)
    golden = runner.run(reference_job(model, folder / "x.npz", 16)).path
    options = BACKEND.options(given, "here")
    return Request(model, networks.PYNQ, options, golden, None, "net")


def examined(runner, request):
    return runner.run(BACKEND.examine(request, request.golden)).result


def verified(runner, request):
    """As the pipeline does it, from compiling on."""
    compiled = runner.run(BACKEND.compile(request))
    grid, rounding = verifying.on_grid(request, compiled.result, runner.run, None)
    examine = verifying.examine_job(BACKEND, request, grid)
    simulations = BACKEND.simulate(grid, compiled.path)
    return verifying.simulate(grid, simulations, runner.run, None, examine, rounding).entry


@pytest.mark.parametrize("name", ["cnn", "float_cnn"])
def test_the_emulation_is_the_c_simulation_to_the_bit(runner, tmp_path, name):
    entry = verified(runner, request_for(runner, getattr(networks, name)(), tmp_path, {}))
    (check,) = entry["verification"]
    assert check["emulated"] == 1
    assert entry["verified"], check["explanation"]
    assert entry["overflows"] == []
    assert check["equal"] == 1 or name == "float_cnn"
    if name == "float_cnn":
        assert check["compared"] == "logits"
        assert check["tolerance"]["absolute"] < 0.01  # what the types themselves lose, no more
        assert entry["input_rounding"]["agreement"] > 0.99


def test_what_diverges_first_says_which_type_would_not(runner, tmp_path):
    """Each remedy is taken until nothing diverges; then the C simulation is exact."""
    narrow = {
        "fc1": {"result": "ap_fixed<5,2>", "accum": "fixed<18,3>"},
        "fc2": {"weight": "fixed<4,1>", "accum": "fixed<10,2>"},
    }
    request = request_for(runner, networks.mlp(), tmp_path, {"layers": narrow})
    taken = []
    while True:
        seen = examined(runner, request)
        first = seen["divergence"]
        if first is None:
            break
        assert first["why"]
        assert first["low"] < first["high"]
        fix = yaml.safe_load(first["remedy"])["layers"]
        ((layer, own),) = fix.items()
        ((role, kind),) = own.items()
        assert narrow[layer][role] != kind
        narrow[layer][role] = kind
        taken.append((layer, role))
        assert len(taken) <= 6, taken
        request = replace(request, options=BACKEND.options({"layers": narrow}, "here"))
    assert {layer for layer, _ in taken} == {"fc1", "fc2"}
    assert taken[0][0] == "fc1"
    assert seen["overflows"] == []
    (check,) = verified(runner, request)["verification"]
    assert check["equal"] == 1, check["explanation"]


def test_a_sum_that_wraps_is_found_where_the_outputs_agree(runner, tmp_path):
    """Nothing reads the unit whose sum wraps."""
    fixed = networks.fixed
    draft = networks.Draft((4,)).add("q", "quantize", quantizer=fixed(8, 2))
    kernel = np.array([[0.25, 3.5], [0.25, 3.0], [-0.25, 2.5], [0.5, 3.5]])
    draft.add("fc1", "dense", (2,), weights={"kernel": kernel}, kernel=fixed(8, 2), units=2)
    draft.add("relu1", "relu", quantizer=fixed(6, 2, signed=False))
    kernel = np.array([[0.5, -0.5, 0.25], [0, 0, 0]])
    draft.add("fc2", "dense", (3,), weights={"kernel": kernel}, kernel=fixed(6, 0), units=3)
    given = {"layers": {"fc1": {"accum": "fixed<14,4>"}}}
    entry = verified(runner, request_for(runner, draft, tmp_path, given))
    (check,) = entry["verification"]
    assert check["equal"] == 1
    assert check["passed"]
    assert not entry["verified"]
    (found,) = entry["overflows"]
    assert (found["layer"], found["role"], found["type"]) == ("fc1", "accum", "fixed<14,4>")
    assert found["high"] > 8
    assert 0 < found["fraction"] < 1
    fixes = yaml.safe_load(found["remedy"])
    request = request_for(runner, draft, tmp_path / "again", fixes)
    assert examined(runner, request)["overflows"] == []


def test_an_input_type_that_is_too_narrow_is_told(runner, tmp_path):
    given = {"layers": {"x": {"result": "fixed<8,2>"}}}  # wraps beyond -2 ... 2
    entry = verified(runner, request_for(runner, networks.float_cnn(), tmp_path, given, 100))
    assert not entry["verified"]
    found = entry["overflows"][0]
    assert (found["layer"], found["type"]) == ("x", "ap_fixed<8,2>")
    assert entry["input_rounding"]["outside"] > 0.01
    assert entry["input_rounding"]["agreement"] < 1


def test_every_type_that_is_given_is_in_the_project(runner, tmp_path):
    """And the C simulation rounds as the emulation of these types does, to the bit."""
    draft = networks.Draft((16,)).dense("fc1", 24).add("curve", "tanh").dense("fc2", 5)
    draft.add("soft", "softmax")
    layers = {
        "x": {"result": "fixed<12,4,RND,SAT>"},
        "fc1": {
            "weight": "fixed<9,2>", "bias": "fixed<7,3>", "accum": "fixed<21,6>",
            "result": "fixed<13,5>",
        },
        "curve": {"table": "fixed<11,2>", "result": "fixed<10,2>"},
        "fc2": {"precision": "fixed<14,5>", "accum": "fixed<24,7>"},
        "soft": {
            "exp_table": "ufixed<15,1>", "inv_table": "ufixed<14,1>", "accum": "ufixed<19,4>",
            "result": "ufixed<12,1,RND,SAT>",
        },
    }  # fmt: skip
    request = request_for(runner, draft, tmp_path, {"layers": layers}, 500)
    compiled = runner.run(BACKEND.compile(request))
    (header,) = (compiled.path / "project").glob("*/firmware/defines.h")
    written = re.findall(r"typedef (ap_u?fixed<[^>]*>) (\w+);", header.read_text())
    for layer, own in layers.items():
        for role, given in own.items():
            wanted = ("weight", "bias", "result") if role == "precision" else (role,)
            head = "ap_" + given.removesuffix(">").replace("RND", "AP_RND").replace("SAT", "AP_SAT")
            ends = {"x": "input_t", "soft": "result_t"}.get(layer, "layer")
            words = [ends if name == "result" else f"{layer}_{name}" for name in wanted]
            for word in words:
                assert any(
                    kind.startswith(head) and word in named for kind, named in written
                ), (word, head, written)  # fmt: skip
    (check,) = verified(runner, request)["verification"]
    assert check["emulated"] == 1
    usual = runner.run(BACKEND.examine(replace(request, options=BACKEND.options({}, "here")),
                                       request.golden))  # fmt: skip
    forced = runner.run(BACKEND.examine(request, request.golden))
    before, after = (np.load(found.path / "outputs.npz")["logits"] for found in (usual, forced))
    assert np.abs(before - after).max() > 1e-3  # it matters


def float_mlp():
    draft = networks.Draft((16,)).dense("fc1", 24).add("relu1", "relu").dense("fc2", 5)
    return draft.add("softmax", "softmax")


def tuned(runner, request):
    request, finished = verifying.tune(BACKEND, request, runner.run)
    return request, finished


def test_tuned_types_keep_what_is_asked_for(runner, tmp_path):
    given = {"precision": "tuned", "min_agreement": 0.98}
    request = request_for(runner, float_mlp(), tmp_path, given)
    request, finished = tuned(runner, request)
    found = finished.result
    assert found["metric"] == "agreement"
    assert found["after"]["test"] >= 0.98
    assert found["after"]["ebops"] < found["before"]["ebops"] / 3
    assert {"fc1", "fc2", "x"} == set(found["layers"])
    # one bit less anywhere that costs, and it is not kept any more: the search ends at an edge
    fragment = yaml.safe_load((finished.path / "precision.yaml").read_text())
    assert fragment == {"layers": found["layers"]}
    assert BACKEND.options(fragment, "here")["layers"]["fc1"]["weight"]
    (check,) = verified(runner, request)["verification"]
    assert check["passed"], check["explanation"]
    assert check["emulated"] == 1
    assert check["agreement"] >= 0.96
    with Runner(Store(tmp_path / "other")) as other:
        again = tuned(other, replace(request, options=BACKEND.options(given, "here")))[1]
    assert json.dumps(dict(again.result)) == json.dumps(dict(found))


def test_more_loss_allows_narrower_types(runner, tmp_path):
    costs = []
    for least in (0.999, 0.9):
        given = {"precision": "tuned", "min_agreement": least}
        request = request_for(runner, float_mlp(), tmp_path / str(least), given)
        costs.append(tuned(runner, request)[1].result["after"]["ebops"])
    assert costs[1] < costs[0]


def test_nothing_to_tune_is_one_clear_error(runner, tmp_path):
    request = request_for(runner, networks.mlp(), tmp_path, {"precision": "tuned"}, 100)
    layers = {
        "fc2": {"result": "fixed<20,6>", "weight": "fixed<6,1>"},
        "fc1": {"result": "fixed<20,6>"},
    }
    given = {"precision": "tuned", "layers": layers}
    request = replace(request, options=BACKEND.options(given, "here"))
    with pytest.raises(UnsupportedError, match="no type is free"):
        tuned(runner, request)


@pytest.mark.parametrize(
    ("compiler", "io"), [("vitis", "parallel"), ("vivado", "stream")], ids=["vitis", "vivado"]
)
def test_relu_and_a_table_make_smooth_functions(runner, tmp_path, compiler, io):
    draft = networks.Draft((6, 6, 2)).conv("conv", 4).add("g", "gelu", approximate=io == "stream")
    draft.add("s", "silu").flatten().dense("fc", 6).add("h", "hard_silu")
    given = {"compiler": compiler, "io": io, "table_size": 4096}
    entry = verified(runner, request_for(runner, draft, tmp_path, given, 300))
    (check,) = entry["verification"]
    assert check["emulated"] == 1
    assert entry["verified"], check["explanation"]
    assert 0 < check["max_difference"] < 0.01
    assert check["agreement"] > 0.97
    assert entry["overflows"] == []
