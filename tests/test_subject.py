"""hls4ml projects and configurations as inputs of an estimate."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow import estimating, parts, subject
from edgeflow.errors import EdgeflowError, ModelError, TargetError
from edgeflow.frontends import hls_network, hls_project, hls_text, hls_types
from edgeflow.jobs import Runner

DEFINES = """
#define N_INPUT_1_1 4
#define N_LAYER_2 3
typedef ap_fixed<16,6> model_default_t;
typedef nnet::array<ap_ufixed<8,2,AP_RND,AP_SAT,0>, 4*1> input_t;
typedef nnet::array<ap_fixed<18,8>, 3*1> layer2_t;
typedef ap_fixed<6,1> weight2_t; // a comment; typedef ap_fixed<1,1> weight2_t;
typedef nnet::array<ap_ufixed<5,1>, 3*1> layer3_t;
typedef nnet::array<ap_fixed<16,6>, 3*1> result_t;
"""
PARAMETERS = """
// fc1
struct config2 : nnet::dense_config {
    static const unsigned n_in = N_INPUT_1_1;
    static const unsigned n_out = N_LAYER_2;
    static const unsigned io_type = nnet::io_stream;
    static const unsigned strategy = nnet::resource;
    static const unsigned reuse_factor = 2;
    static const unsigned n_zeros = 2;
    static const unsigned n_nonzeros = 10;
    typedef model_default_t accum_t;
    typedef weight2_t weight_t;
    typedef model_default_t bias_t;
};
struct relu_config3 : nnet::activ_config {
    static const unsigned n_in = 3;
    static const unsigned io_type = nnet::io_stream;
};
struct config4 : nnet::merge_config {
    static const unsigned n_elem = N_LAYER_2 * 1;
};
struct elu_config5 : nnet::activ_config {
    static const unsigned n_in = 3;
};
"""
TOP = """
void top(hls::stream<input_t> &x, hls::stream<result_t> &y) {
    hls::stream<layer2_t> layer2_out("layer2_out");
    nnet::dense<input_t, layer2_t, config2>(x, layer2_out, w2, b2); // fc1
    nnet::clone_stream<layer2_t, layer2_t, 3>(layer2_out, copy_a, copy_b);
    nnet::relu<layer2_t, layer3_t, relu_config3>(copy_a, layer3_out); // fc1_relu
    nnet::add<layer2_t, layer3_t, result_t, config4>(copy_b, layer3_out, layer4_out); // sum
    nnet::elu<result_t, alpha_t, result_t, elu_config5>(layer4_out, 1.0, y); // curve
}
"""
CONFIG = """
Backend: Vivado
ClockPeriod: 5
IOType: io_parallel
Part: xc7a35tcpg236-1
ProjectName: top
KerasModel: !keras_model model.h5
HLSConfig: {Model: {Precision: "ap_fixed<16,6>", ReuseFactor: 1, Strategy: Latency}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as hls4ml would write it, whose yml says another io, strategy and reuse factor."""
    folder = tmp_path / "prj"
    (folder / "firmware" / "weights").mkdir(parents=True)
    (folder / "firmware" / "defines.h").write_text(DEFINES)
    (folder / "firmware" / "parameters.h").write_text(PARAMETERS)
    (folder / "firmware" / "top.cpp").write_text(TOP)
    weights = np.arange(12) / 32 - 0.125
    (folder / "firmware" / "weights" / "w2.txt").write_text(", ".join(map(str, weights)))
    (folder / "hls4ml_config.yml").write_text(CONFIG)
    (folder / "build_prj.tcl").write_text(
        "set_part {xc7z020clg400-1}\ncreate_clock -period 8 -name default\n"
    )
    return folder


@contextlib.contextmanager
def _no_runner() -> Any:
    pytest.fail("no job is needed for this")
    yield Runner()


def test_the_firmware_decides(project: Path) -> None:
    for path in (project, project / "hls4ml_config.yml"):
        found = subject.read([path], _no_runner)
        fc = found.network["fc1"]
        assert (fc.kind, fc.weight_bits, fc.sparsity) == ("dense", 6, pytest.approx(1 / 6))
        assert fc.attributes["strategy"] == "resource"
        assert fc.attributes["reuse_factor"] == 2
        assert found.network.layers[0].quantizer == hls_types.quantizer("ap_ufixed<8,2,RND,SAT>")
        assert found.network["fc1_relu"].inputs == ("fc1",)
        assert found.network["sum"].inputs == ("fc1", "fc1_relu")
        assert found.network["sum"].activation_bits == 16
        assert found.network["curve"].inputs == ("sum",)
        assert found.network["curve"].kind == "elu"
        assert found.options["part"] == "xc7z020clg400-1"
        assert found.options["clock_mhz"] == 125
        assert found.options["io"] == "stream"
        assert found.options["compiler"] == "vivado"
        assert found.options["layers"]["fc1"]["weight"] == "ap_fixed<6,1>"
        assert any("125 MHz, not the yml's 5 ns" in note for note in found.notes)
        assert any("io_stream" in note for note in found.notes)


def test_real_weights_are_read(project: Path) -> None:
    found = subject.read([project], _no_runner)
    values = hls_project.values(found.kernels["fc1"])
    assert values.shape == (4, 3)
    assert values[1, 0] == pytest.approx(1 / 32 - 0.125)  # written output by output
    counts = subject.digits(found, {"layers": {}})["fc1"]
    assert counts[0] == 11  # one of the twelve is 0
    header = project / "firmware" / "weights" / "w2.h"
    numbers = (project / "firmware" / "weights" / "w2.txt").read_text()
    header.write_text(
        f"//Min 3\n#ifndef W\nweight2_t w2[12];\n#else\nw2[12] = {{{numbers}}};\n#endif"
    )
    (project / "firmware" / "weights" / "w2.txt").unlink()
    again = subject.read([project], _no_runner)
    assert np.array_equal(hls_project.values(again.kernels["fc1"]), values)


def test_the_designs_own_settings_unless_overridden(project: Path) -> None:
    def ask(target: str = "pynq-z2", **question: Any) -> dict[str, Any]:
        found = estimating.estimate_targets(
            lambda: subject.read([project], _no_runner), [target], **question
        )
        return found[target]

    def seconds_per_cycle(entry: dict[str, Any]) -> float:
        figures = entry["estimates"]
        return float(figures["latency"]["value"] / figures["latency_cycles"]["value"])

    own = ask()
    assert own["problems"] == []
    assert seconds_per_cycle(own) == pytest.approx(8e-9)
    assert seconds_per_cycle(ask(clock_mhz=250)) == pytest.approx(4e-9)
    assert (
        ask(settings={"reuse_factor": 12})["estimates"]["ii"]["value"]
        > (own["estimates"]["ii"]["value"])
    )
    assert set(own["layers"]) == {"fc1", "fc1_relu", "sum", "curve"}
    assert own["layers"]["fc1"]["lut"] > 0
    other = ask("alveo-u250")
    assert any("xc7z020clg400-1" in note and "xcu250" in note for note in other["notes"])


def test_what_multiplications_are_bound_to(project: Path) -> None:
    assert subject.read([project], _no_runner).multipliers is None
    utils = project / "firmware" / "nnet_utils"
    utils.mkdir()
    (utils / "nnet_mult.h").write_text("#pragma HLS BIND_OP variable=x op=mul impl=fabric\n")
    found = subject.read([project], _no_runner)
    assert found.multipliers == "logic"
    bound = estimating.estimate_targets(lambda: found, ["pynq-z2"])["pynq-z2"]["estimates"]
    assert bound["dsp"]["value"] == 0
    (project / "build_prj.tcl").write_text("config_op mul -impl dsp\n")
    assert subject.read([project], _no_runner).multipliers is None  # both are said


def test_a_network_file_may_bind_them_too(tmp_path: Path) -> None:
    record = {
        "input_shape": [16], "bits": 16, "io": "parallel", "compiler": "vivado",
        "multipliers": "logic", "layers": [{"kind": "dense", "units": 8}],
    }  # fmt: skip
    file = tmp_path / "n.json"
    file.write_text(json.dumps(record))
    found = subject.read([file], _no_runner)
    assert (found.multipliers, found.options["compiler"]) == ("logic", "vivado")
    entry = estimating.estimate_targets(lambda: found, ["pynq-z2"])["pynq-z2"]
    assert entry["estimates"]["dsp"]["value"] == 0


def test_a_part_nobody_knows(project: Path) -> None:
    with pytest.raises(TargetError, match=r"xc9z020.*\n.*xc7z020clg400-1"):
        estimating.estimate_targets(
            lambda: subject.read([project], _no_runner),
            ["pynq-z2"],
            settings={"part": "xc9z020clg400"},
        )
    (project / "build_prj.tcl").write_text("set_part {abc123def}\n")
    with pytest.raises(EdgeflowError, match="abc123def"):
        estimating.estimate_targets(lambda: subject.read([project], _no_runner), ["pynq-z2"])
    assert parts.architecture("xcku115-flvb2104-2-i") == "kintex-ultrascale"
    assert parts.architecture("xcu50-fsvh2104-2-e") == "virtex-ultrascale+"


def test_a_configuration_alone_needs_its_model(tmp_path: Path, project: Path) -> None:
    lone = tmp_path / "lone.yml"
    shutil.copy(project / "hls4ml_config.yml", lone)
    with pytest.raises(ModelError, match=r"model\.h5"):
        subject.read([lone], _no_runner)
    lone.write_text("a: [")
    with pytest.raises(ModelError, match=r"lone\.yml:1"):
        subject.read([lone], _no_runner)
    lone.write_text("targets: [pynq-z2]\n")
    with pytest.raises(ModelError, match="hls4ml configuration"):
        subject.read([lone], _no_runner)


def test_code_in_a_project_is_text(project: Path) -> None:
    assert hls_text.whole("__import__('os').system('x')", {}) is None
    assert hls_text.whole("A * (B + 2) / 3", {"A": "6", "B": "C - 1", "C": "2"}) == 6
    assert hls_text.whole("A", {"A": "B", "B": "A"}) is None
    yml = project / "hls4ml_config.yml"
    yml.write_text(CONFIG + "\nx: !!python/object/apply:os.system ['touch pwned']\n")
    with pytest.raises(ModelError, match="YAML"):
        subject.read([project], _no_runner)


def test_broken_firmware_names_every_struct(project: Path) -> None:
    file = project / "firmware" / "parameters.h"
    file.write_text(PARAMETERS.replace("N_INPUT_1_1", "UNKNOWN").replace("n_elem", "n_other"))
    with pytest.raises(ModelError, match=r"config2 \(dense_config\).*n_in"):
        subject.read([project], _no_runner)
    file.write_text("// nothing\n")
    with pytest.raises(ModelError, match="no layer's configuration"):
        subject.read([project], _no_runner)


@pytest.mark.parametrize(
    ("text", "bits", "integer", "signed"),
    [
        ("ap_fixed<16,6>", 16, 5, True),
        ("ap_ufixed< 6, 2, AP_RND_CONV, AP_SAT, 0 >", 6, 2, False),
        ("ac_fixed<8,3,false>", 8, 3, False),
        ("nnet::array<ap_fixed<7,1>, 64*1>", 7, 0, True),
        ("ap_uint<1>", 1, 1, False),
    ],
)
def test_types(text: str, bits: int, integer: int, signed: bool) -> None:
    found = hls_types.quantizer(text)
    assert found is not None
    assert (found.bits, found.integer, found.signed) == (bits, integer, signed)
    assert hls_types.quantizer("float") is None


@pytest.mark.parametrize(
    "record",
    [
        {"layers": [{"kind": "dense_config"}]},
        {"layers": [{"name": "config2", "kind": "dense_config"}], "calls": [{}]},
        {"layers": [{"name": "config2", "kind": "dense_config"}], "types": [1]},
    ],
)
def test_configurations_of_another_form_are_refused(record: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        hls_network.read(record, "n")


def test_a_concatenation_reads_what_its_inputs_are() -> None:
    dense = {"kind": "dense_config", "n_in": 4, "reuse_factor": 1, "strategy": "latency"}
    joined = {"name": "config4", "kind": "concat_config", "n_elem1_0": 3, "n_elem2_0": 2}
    calls = [
        {"function": "dense", "config": "config2", "inputs": ["x"], "output": "a", "types": []},
        {"function": "dense", "config": "config3", "inputs": ["x"], "output": "b", "types": []},
        {
            "function": "concatenate1d",
            "config": "config4",
            "inputs": ["a", "b"],
            "output": "c",
            "types": [],
        },
    ]
    layers = [
        {**dense, "name": "config2", "n_out": 3}, {**dense, "name": "config3", "n_out": 2}, joined,
    ]  # fmt: skip
    network = hls_network.read({"layers": layers, "calls": calls}, "n").network
    assert network.layers[-1].input_shapes == ((3,), (2,))
    assert network.layers[-1].output_shape == (5,)


def test_every_real_configuration_is_read(data_root: Path) -> None:
    files = sorted((data_root / "ground_truth" / "hls4ml_firmware_config").glob("*.json"))
    assert files
    for file in files:
        found = subject.read([file], _no_runner)
        record = json.loads(file.read_text())
        products = [one for one in record["layers"] if one["kind"] == "dense_config"]
        own = [layer for layer in found.network if layer.kind == "dense"]
        assert len(own) <= len(products)
        assert found.network.totals.macs > 0
        assert all(layer.kind != "opaque" for layer in found.network), file.name


def test_a_configuration_beside_its_model(data_root: Path, runner: Runner) -> None:
    folder = data_root / "models" / "mlperf_tiny_fpga" / "v0.7" / "ad" / "AD08"
    files = [
        folder / "inference" / "hls4ml_config.yml",
        folder / "training" / "trained_model" / "model.h5",
    ]
    found = subject.read(files, lambda: contextlib.nullcontext(runner))
    assert found.options["layers"]["q_dense"]["reuse_factor"] == 144
    assert found.options["layers"]["q_dense"]["weight"] == "ap_fixed<13,1>"
    assert "reuse_factor" not in found.options["layers"].get("q_activation", {})
    counts = subject.digits(found, found.options)
    assert set(counts) == {layer.name for layer in found.network if layer.kind == "dense"}
    entry = estimating.estimate_targets(lambda: found, ["pynq-z2"])["pynq-z2"]
    assert entry["problems"] == []
    assert entry["estimates"]["ii"]["value"] >= 144
