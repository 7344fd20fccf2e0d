"""The Network: what it counts, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow.errors import ModelError
from edgeflow.network import Layer, Network, Quantizer, Weight, count_macs


def layer(
    kind: str, kernel: tuple[int, ...], source: tuple[int, ...], out: tuple[int, ...]
) -> Layer:
    weights = {"kernel": Weight(kernel)}
    if kind in ("lstm", "gru"):
        gates = kernel[1]
        weights["recurrent_kernel"] = Weight((out[-1], gates))
    return Layer("a", kind, ("in",), (source,), out, weights=weights)


@pytest.mark.parametrize(
    ("made", "macs"),
    [
        (layer("dense", (16, 64), (16,), (64,)), 16 * 64),
        (layer("dense", (16, 64), (10, 16), (10, 64)), 10 * 16 * 64),
        (layer("conv2d", (3, 3, 8, 16), (32, 32, 8), (16, 16, 16)), 16 * 16 * 3 * 3 * 8 * 16),
        (layer("conv2d", (3, 3, 2, 16), (32, 32, 8), (16, 16, 16)), 16 * 16 * 3 * 3 * 2 * 16),
        (layer("conv1d", (5, 4, 8), (100, 4), (96, 8)), 96 * 5 * 4 * 8),
        (layer("depthwise_conv2d", (3, 3, 8, 1), (10, 10, 8), (8, 8, 8)), 8 * 8 * 8 * 9),
        (layer("depthwise_conv2d", (3, 3, 8, 2), (10, 10, 8), (8, 8, 16)), 8 * 8 * 16 * 9),
        (layer("conv2d_transpose", (2, 2, 4, 8), (5, 5, 8), (10, 10, 4)), 25 * 2 * 2 * 4 * 8),
        (layer("lstm", (6, 4 * 5), (20, 6), (5,)), 20 * (6 * 20 + 5 * 20)),
        (layer("relu", (1,), (4,), (4,)), 0),
        (Layer("m", "matmul", ("a", "b"), ((4, 6), (6, 3)), (4, 3)), 4 * 3 * 6),
    ],
)
def test_macs(made: Layer, macs: int) -> None:
    assert count_macs(made) == macs


@pytest.fixture
def network() -> Network:
    dense = Layer(
        "dense", "dense", ("x",), ((4,),), (3,), {"units": 3},
        {
            "kernel": Weight((4, 3), 6, 9, Quantizer("fixed", 6, integer=0)),
            "bias": Weight((3,), 8, 3, Quantizer("affine", 8, scale=(0.5, 1.0, 2.0), axis=0)),
        },
        macs=12,
    )  # fmt: skip
    return Network(
        "tiny",
        (
            Layer("x", "input", (), (), (4,)),
            dense,
            Layer("relu", "relu", ("dense",), ((3,),), (3,), quantizer=Quantizer("fixed", 6, False)),
            Layer("sum", "add", ("dense", "relu"), ((3,), (3,)), (3,)),
        ),
        ("x",),
        ("sum",),
        {"format": "keras3"},
    )  # fmt: skip


def test_round_trip(network: Network, tmp_path: Path) -> None:
    network.save(tmp_path / "n.json")
    assert Network.load(tmp_path / "n.json") == network
    assert Network.from_json(json.loads(json.dumps(network.to_json()))) == network


def test_totals(network: Network) -> None:
    totals = network.totals
    assert (totals.macs, totals.parameters, totals.nonzero_parameters) == (12, 15, 12)
    assert totals.weight_bytes == (12 * 6 + 3 * 8) / 8
    # while dense runs: x (4 x 32 bit) and dense (3 x 32); later dense, relu (3 x 6), sum (3 x 32)
    assert totals.activation_bytes == max(128 + 96, 96 + 18 + 96) / 8
    assert network["dense"].sparsity == 0.25
    assert [c.name for c in network.consumers["dense"]] == ["relu", "sum"]
    assert network.quantized


def test_every_fault_is_named(network: Network) -> None:
    layers = (
        replace(network["x"], kind="imput"),
        replace(network["dense"], inputs=("y",)),
        replace(network["relu"], name="x"),
    )
    with pytest.raises(ModelError) as caught:
        network.with_layers(layers).validate("file.json")
    text = str(caught.value)
    assert text.startswith("file.json: ")
    for word in ("'imput'", "reads 'y'", "two layers are named 'x'", "'sum' is not a layer"):
        assert word in text


def test_impossible_sizes_are_named(network: Network) -> None:
    layers = (
        replace(network["x"], output_shape=(-4,)),
        replace(network["dense"], weights={"kernel": Weight((4, 3), 0, 99)}, macs=-1),
        *network.layers[2:],
    )
    with pytest.raises(ModelError) as caught:
        network.with_layers(layers).validate()
    for word in ("[-4]", "99 values", "0 bits", "-1 MACs"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "expected JSON"),
        ("[1]", "found 'list'"),
        ('{"format": "edgeflow.network/9"}', "edgeflow.network/9"),
        ('{"format": "edgeflow.network/1", "layers": 3}', "misuses a field"),
        ('{"format": "edgeflow.network/1", "layers": [{"name": "a"}]}', "KeyError: 'kind'"),
        ('{"format": "edgeflow.network/1", "layers": ["a"]}', "misuses a field"),
    ],
)
def test_what_is_no_network(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "n.json"
    file.write_text(text)
    with pytest.raises(ModelError) as caught:
        Network.load(file)
    assert word in str(caught.value)
    assert str(file) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        Network.load(tmp_path / "absent.json")
