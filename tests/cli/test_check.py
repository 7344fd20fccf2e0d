"""`edgeflow check`: what it says, and its exit codes. Networks as JSON: no toolchain is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edgeflow.cli.app import app
from edgeflow.network import Layer, Network, Weight


def dense(name: str, source: str, n_in: int, n_out: int, bits: float = 32) -> Layer:
    kernel = Weight((n_in, n_out), bits, n_in * n_out)
    return Layer(
        name, "dense", (source,), ((n_in,),), (n_out,), {"units": n_out}, {"kernel": kernel}
    )


def saved(folder: Path, *layers: Layer, outputs: tuple[str, ...] = ()) -> Path:
    first = layers[0]
    given = Layer("x", "input", output_shape=first.input_shapes[0])
    ends = outputs or (layers[-1].name,)
    Network("net", (given, *layers), ("x",), ends, {"format": "network"}).save(folder / "net.json")
    return folder / "net.json"


def chain(*sizes: int, bits: float = 32) -> list[Layer]:
    names = ["x", *(f"fc{i}" for i in range(len(sizes)))]
    return [
        dense(names[i + 1], names[i], sizes[i], sizes[i + 1], bits) for i in range(len(sizes) - 1)
    ]


def check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_what_works_ends_with_0(tmp_path: Path) -> None:
    done = check(saved(tmp_path, *chain(8, 4, bits=6)), "--target", "pynq-z2")
    assert (done.exit_code, done.output) == (0, "pynq-z2 (hls4ml): works\n")


def test_what_a_backend_refuses_ends_with_1_and_every_reason(tmp_path: Path) -> None:
    layers = [*chain(8, 4), Layer("norm", "layer_norm", ("fc0",), ((4,),), (4,))]
    layers.append(Layer("log", "log_softmax", ("norm",), ((4,),), (4,)))
    model = saved(tmp_path, *layers)
    done = check(model, "-t", "pynq-z2", "-t", "zcu102", "--backend", "hls4ml")
    assert done.exit_code == 1
    assert done.output.count("2 problems") == 2
    assert "retrain with batch normalisation" in done.output
    done = check(model, "-t", "pynq-z2", "--json")
    (record,) = json.loads(done.output)
    assert done.exit_code == 1
    assert [problem["layer"] for problem in record["problems"]] == ["norm", "log"]
    assert all(problem["remedy"] for problem in record["problems"])


def test_several_outputs_end_with_1(tmp_path: Path) -> None:
    model = saved(tmp_path, *chain(8, 4, 4), outputs=("fc0", "fc1"))
    done = check(model, "--target", "pynq-z2", "--backend", "hls4ml")
    assert done.exit_code == 1
    assert "expected one input and one output, found 1 and 2" in done.output


def test_a_model_that_may_not_fit_ends_with_0_and_a_note(tmp_path: Path) -> None:
    model = saved(tmp_path, *chain(64, 30, 30, 30))
    done = check(model, "--target", "pynq-z2", "--json")
    (record,) = json.loads(done.output)
    assert done.exit_code == 0
    (note,) = record["remarks"]
    assert "it may not fit: about" in note
    assert "of 53,200" in note
    assert "would fit" in note


def test_a_model_that_cannot_fit_ends_with_1(tmp_path: Path) -> None:
    done = check(saved(tmp_path, *chain(*[64] * 40)), "--target", "pynq-z2")
    assert done.exit_code == 1
    assert "it cannot fit: about" in done.output
    assert "times what there is" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "pynq-z3"), "pynq-z2"),
        (("--target", "pynq-z2", "--backend", "hls5ml"), "hls4ml"),
        (("--target", "pynq-z2", "-O", "reuse_factor=0"), "greater than or equal to 1"),
        (("--target", "pynq-z2", "-O", "precision=fixed<4>"), "ap_fixed<16,6>"),
        ((), "give a target"),
    ],
)
def test_bad_input_ends_with_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = check(saved(tmp_path, *chain(8, 4)), *arguments)
    said = done.output + str(done.exception)
    assert words in said
    code = done.exit_code if isinstance(done.exception, SystemExit) else 2
    assert code == 2
