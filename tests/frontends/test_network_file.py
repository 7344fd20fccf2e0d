"""Network JSON as people write it: what follows from the rest, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeflow.errors import ModelError
from edgeflow.frontends import network_file
from edgeflow.network import Network

SHORT: dict[str, Any] = {
    "input_shape": [32, 32, 3],
    "bits": 6,
    "activation_bits": 8,
    "strategy": "resource",
    "io": "stream",
    "layers": [
        {"kind": "conv2d", "filters": 16, "kernel_size": 3, "reuse_factor": 27},
        {"kind": "ReLU"},
        {"kind": "MaxPooling2D"},
        {"kind": "depthwise_conv2d", "kernel_size": [3, 3], "padding": "same", "strides": 2},
        {"kind": "global_avg_pool2d"},
        {"kind": "dense", "name": "fc", "units": 10, "weight_bits": 8, "sparsity": 0.5},
        {"kind": "softmax"},
    ],
}


def test_shapes_and_kernels_follow() -> None:
    network, options = network_file.from_record(SHORT)
    assert options == {"io": "stream"}
    shapes = [layer.output_shape for layer in network]
    assert shapes == [
        (32, 32, 3), (30, 30, 16), (30, 30, 16), (15, 15, 16), (8, 8, 16), (16,), (10,), (10,),
    ]  # fmt: skip
    conv, depthwise, fc = network.layers[1], network.layers[4], network["fc"]
    assert conv.weights["kernel"].shape == (3, 3, 3, 16)
    assert conv.macs == 30 * 30 * 3 * 3 * 3 * 16
    assert conv.attributes["strategy"] == "resource"
    assert conv.attributes["reuse_factor"] == 27
    assert conv.weight_bits == 6
    assert depthwise.weights["kernel"].shape == (3, 3, 16, 1)
    assert depthwise.macs == 8 * 8 * 16 * 9
    assert (fc.weight_bits, fc.sparsity, fc.macs) == (8, 0.5, 160)
    assert network.layers[2].activation_bits == 8
    assert (network.inputs, network.outputs) == (("input",), ("softmax_7",))


def test_what_inspect_writes_is_read_as_it_is(tmp_path: Path) -> None:
    network, _ = network_file.from_record(SHORT)
    network.save(tmp_path / "n.json")
    again, _ = network_file.load(tmp_path / "n.json")
    assert (again.layers, again.inputs, again.outputs) == (
        network.layers, network.inputs, network.outputs,
    )  # fmt: skip
    assert Network.load(tmp_path / "n.json").layers == network.layers


def test_what_follows_may_be_left_out_of_it() -> None:
    network, _ = network_file.from_record(SHORT)
    record = json.loads(json.dumps(network.to_json()))
    for layer in record["layers"]:
        for key in ("macs", "inputs", "parameters", "sparsity"):
            del layer[key]
    assert network_file.from_record(record)[0].layers == network.layers


def test_branches_meet() -> None:
    network, _ = network_file.from_record(
        {
            "layers": [
                {"kind": "input", "name": "x", "output_shape": [8]},
                {"kind": "dense", "name": "a", "units": 4},
                {"kind": "dense", "name": "b", "units": 4, "inputs": ["x"]},
                {"kind": "add", "inputs": ["a", "b"]},
                {"kind": "concat", "inputs": ["a", "b"]},
            ]
        }
    )
    assert [layer.output_shape for layer in network.layers[-2:]] == [(4,), (8,)]
    assert len(network.outputs) == 2


def test_every_fault_has_its_layer_and_line(tmp_path: Path) -> None:
    file = tmp_path / "n.json"
    file.write_text(
        """{
 "input_shape": [16], "bitss": 3,
 "layers": [
  {"kind": "dens", "units": 3},
  {"kind": "dense", "name": "fc"},
  {"kind": "dense", "units": 4, "reuse_factor": 0},
  {"kind": "dense", "units": 4, "strategy": "latncy"},
  {"kind": "dense", "units": 4, "inputs": ["x"]},
  {"kind": "conv2d", "filters": 4, "kernel_size": 3},
  {"kind": "dense", "units": 4, "bits": 0},
  {"kind": "dense", "units": 4, "output_shape": [5]},
  {"kind": "dense", "unit": 4},
  7
 ]
}"""
    )
    with pytest.raises(ModelError) as refused:
        network_file.load(file)
    found = refused.value.details
    for line, words in (
        ("", "'bitss' (did you mean 'bits'?)"),
        ("line 4: layer 1: ", "did you mean 'dense'"),
        ("line 5: layer 2 'fc': ", "'units' is missing"),
        ("line 6: layer 3: ", "reuse_factor from 1"),
        ("line 7: layer 4: ", "did you mean 'latency'"),
        ("line 8: layer 5: ", "reads 'x'"),
        ("line 9: layer 6: ", "expected an input of 3 dimensions"),
        ("line 10: layer 7: ", "1 to 64"),
        ("line 11: layer 8: ", "contradicts"),
        ("line 12: layer 9: ", "did you mean 'units'"),
        ("line 13: layer 10: ", "expected an object"),
    ):
        assert any(text.startswith(line) and words in text for text in found), (line, words)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"layers": 3}', '{"layers": [{"kind": 1}]}'])
def test_junk_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "n.json"
    file.write_text(text)
    with pytest.raises(ModelError, match="n.json"):
        network_file.load(file)


def test_a_keras_model_is_no_network(tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text('{"class_name": "Functional", "config": {"layers": []}}')
    assert not network_file.is_network(file)
    file.write_text(json.dumps(SHORT))
    assert network_file.is_network(file)


@pytest.mark.parametrize(
    ("output", "padding", "strides"),
    [([16, 16, 4], "same", [2, 2]), ([15, 15, 4], "valid", [2, 2]), ([30, 30, 4], "valid", [1, 1])],
)
def test_a_given_output_shows_padding_and_strides(
    output: list[int], padding: str, strides: list[int]
) -> None:
    conv = {"kind": "conv2d", "kernel_size": 3, "filters": 4, "output_shape": output}
    network, _ = network_file.from_record({"input_shape": [32, 32, 1], "layers": [conv]})
    assert network.layers[1].attributes["padding"] == padding
    assert network.layers[1].attributes["strides"] == strides
    assert network.layers[1].output_shape == tuple(output)


def test_layers_after_a_faulty_one_are_no_faults_of_their_own() -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "dense", "name": "a"},
        {"kind": "relu", "name": "b", "inputs": "a"},
        {"kind": "softmax", "inputs": ["b"]},
        {"kind": "rleu", "inputs": ["a"]},
    ]
    with pytest.raises(ModelError) as caught:
        network_file.from_record({"input_shape": [4], "layers": layers})
    assert len(caught.value.details) == 2
    assert "did you mean 'relu'" in str(caught.value)


def test_activations_and_biases_as_keras_has_them() -> None:
    network, _ = network_file.from_record(
        {
            "input_shape": [16],
            "outputs": ["a"],
            "layers": [
                {"kind": "dense", "units": 4, "activation": "relu", "name": "a"},
                {"kind": "Activation", "activation": "sigmoid"},
                {"kind": "dense", "units": 2, "inputs": ["a"], "use_bias": False},
            ],
        }
    )
    assert [layer.kind for layer in network] == ["input", "dense", "relu", "sigmoid", "dense"]
    assert network.layers[3].inputs == network.layers[4].inputs == ("a_relu",)
    assert network.outputs == ("a_relu",)
    assert network["a"].weights["bias"].shape == (4,)
    assert "bias" not in network.layers[4].weights


def test_hls4ml_structs_and_keras_models_are_no_networks(tmp_path: Path) -> None:
    long = " " * 5000
    for text in (
        '{"layers": [{"name": "config2", "kind": "dense_config"}]' + long + ', "types": {}}',
        '{"class_name": "Functional"' + long + ', "config": {}, "layers": []}',
        "[1]",
    ):
        file = tmp_path / "n.json"
        file.write_text(text)
        assert not network_file.is_network(file)
    file.write_text('{"name": "n"' + long + ', "layers": [{"kind": "dense"}]}')
    assert network_file.is_network(file)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_shape": 1e30}, {"input_shape": "x"}, {"bits": []}, {"bits": -1},
        {"inputs": [[]]}, {"outputs": "a"}, {"sparsity": "much"},
    ],
)  # fmt: skip
def test_wrong_values_are_faults(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        network_file.from_record({**SHORT, "activation_bits": None, **wrong})


@pytest.mark.parametrize(
    "more",
    [
        {"source": "x"},
        {"layers": [{"kind": "dense", "units": 5.5}]},
        {"layers": [{"kind": "dense", "units": 0}]},
        {"input_shape": [8, 8, 1], "layers": [{"kind": "max_pool2d", "strides": 0}]},
        {"layers": []},
        {"layers": [{"kind": "dense", "weights": {"kernel": {"shape": [8, 4], "bits": "x"}}}]},
    ],
)
def test_values_of_the_wrong_kind_are_named(more: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"input_shape": [8], "layers": [{"kind": "dense", "units": 4}]}
    with pytest.raises(ModelError, match=r"expected an object for 'source'|faults|found none"):
        network_file.from_record({**plain, **more})


def test_one_precision_for_all_layers() -> None:
    record = {
        "input_shape": [8],
        "precision": "ap_fixed<18,6>",
        "layers": [{"kind": "dense", "units": 4}, {"kind": "dense", "units": 2, "bits": 6}],
    }
    network, _ = network_file.from_record(record)
    assert network.layers[1].weight_bits == 18
