"""Whether a design fits: refused outside the estimate's band, warned of inside it; the advice holds."""

from __future__ import annotations

import itertools
import re

import pytest

from edgeflow import targets
from edgeflow.backends.hls4ml import fitting
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Layer, Network, Weight

BOARD = targets.load("pynq-z2")
OPTIONS = BACKEND.options({"compiler": "vitis"}, "here")


def dense(*sizes: int) -> Network:
    layers = [Layer("x", "input", output_shape=(sizes[0],))]
    for before, after in itertools.pairwise(sizes):
        kernel = Weight((before, after), 32, before * after)
        shapes, name = ((before,),), f"fc{len(layers)}"
        layers.append(
            Layer(name, "dense", (layers[-1].name,), shapes, (after,), weights={"kernel": kernel})
        )
    return Network("n", tuple(layers), ("x",), (layers[-1].name,))


def figures(lut: float, low: float, dsp: float = 0) -> dict[str, Estimate]:
    units = {"ff": "FF", "bram_18k": "BRAM_18K"}
    return {
        "lut": Estimate(lut, low, 4 * lut, "LUT", "model", "here"),
        "dsp": Estimate(dsp, dsp / 2, dsp * 2, "DSP", "model", "here"),
        **{name: unknown(unit, "none") for name, unit in units.items()},
    }


@pytest.mark.parametrize(
    ("lut", "low", "dsp", "certain"),
    [
        (40_000, 10_000, 100, None),  # of 53,200 and 220
        (200_000, 30_000, 0, False),  # the band reaches what there is
        (400_000, 100_000, 0, False),  # and so may logic synthesis
        (900_000, 4.1 * 53_200, 0, True),
        (40_000, 10_000, 900, False),  # products beyond the DSPs become LUTs
    ],
)
def test_only_what_is_outside_the_band_is_refused(
    lut: float, low: float, dsp: float, certain: bool | None
) -> None:
    made = figures(lut, low, dsp)
    found = fitting.verdict(dense(16, 8), BOARD, OPTIONS, lambda *_: made)
    assert (found.certain if found else None) is certain
    if found:
        name, value, most = ("DSP", dsp, 220) if dsp else ("LUT", lut, 53_200)
        assert f"about {value:,.0f} {name}" in found.over
        assert f"of {most:,}, {value / most:.3g} times" in found.over
        holds = re.findall(r"(\S+) holds it as it is", found.advise())
        assert all(fitting.capacity(targets.load(name))["lut"] > lut for name in holds)
        assert "would fit" not in found.advise()


def test_no_estimate_no_verdict() -> None:
    none = {name: unknown(unit, "none") for name, unit in fitting.COUNTED.items()}
    assert fitting.verdict(dense(16, 8), BOARD, OPTIONS, lambda *_: none) is None


def test_the_smallest_reuse_factor_that_fits_is_advised() -> None:
    """By an estimate that falls with the reuse factor: the advice is its first that fits."""

    def estimating(target: object, options: dict[str, object]) -> dict[str, Estimate]:
        shared = options["reuse_factor"] if options["strategy"] == "resource" else 1
        assert isinstance(shared, int)
        return figures(1_000_000 / shared, 300_000 / shared)

    given = {**OPTIONS, "layers": {"fc1": {"reuse_factor": 2, "accum": "fixed<30,9>"}}}
    found = fitting.verdict(dense(64, 60), BOARD, given, estimating)  # type: ignore[arg-type]
    assert found is not None
    assert found.certain
    factor = re.search(r"strategy: resource, reuse_factor: (\d+) would fit", found.advise())
    assert factor is not None
    assert factor[1] == "32"  # 31,250 of 0.8 x 53,200; 16 is the legal one before
    assert fitting.shared(given, 32)["layers"] == {"fc1": {"accum": "fixed<30,9>"}}


def test_the_backend_warns_and_its_advice_is_true() -> None:
    network = dense(64, 30, 30, 30)
    assert BACKEND.check(network, BOARD, OPTIONS) == []
    (warning,) = BACKEND.remarks(network, BOARD, OPTIONS)
    factor = re.search(r"strategy: resource, reuse_factor: (\d+) would fit", warning)
    assert factor is not None
    advised = {"compiler": "vitis", "strategy": "resource", "reuse_factor": int(factor[1])}
    assert BACKEND.remarks(network, BOARD, BACKEND.options(advised, "here")) == []
    larger = re.search(r"; (\S+) holds it as it is", warning)
    assert larger is not None
    assert BACKEND.remarks(network, targets.load(larger[1]), OPTIONS) == []
    # of a compiled design, by its own figures; a synthesis decides where there is one
    estimates = BACKEND.estimate(network, BOARD, OPTIONS)
    assert BACKEND.warnings(network, BOARD, OPTIONS, {}, estimates) == [warning]
    assert BACKEND.warnings(network, BOARD, OPTIONS, {"synthesis": {}}, estimates) == []


def test_the_backend_refuses_what_no_band_holds() -> None:
    network = dense(*[64] * 40)
    (problem,) = BACKEND.check(network, BOARD, OPTIONS)
    assert problem.message.startswith("it cannot fit: about")
    assert BACKEND.remarks(network, BOARD, OPTIONS) == []
    tuned = {**OPTIONS, "precision": "tuned"}  # nobody knows its bits
    assert BACKEND.check(network, BOARD, tuned) == BACKEND.remarks(network, BOARD, tuned) == []


def test_where_there_is_no_estimate_the_check_says_so() -> None:
    board = targets.load("arria10-gx-devkit")
    (said,) = BACKEND.remarks(dense(16, 8), board, BACKEND.options({}, "here"))
    assert said.startswith("whether it fits is not known: needs a synthesis")
    assert BACKEND.remarks(dense(16, 8), targets.load("alveo-u250"), OPTIONS) == []
