"""A design that no device of that size can hold gets no latency, but the reason."""

from __future__ import annotations

from dataclasses import replace

from edgeflow import targets
from edgeflow.backends.hls4ml import room
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.network import Layer, Network, Weight


def dense(size: int, bits: float, nonzero: int | None = None) -> Network:
    kernel = Weight((size, size), bits, size * size if nonzero is None else nonzero)
    layers = (
        Layer("x", "input", (), (), (size,)),
        Layer("fc", "dense", ("x",), ((size,),), (size,), weights={"kernel": kernel}),
    )
    return Network("n", layers, ("x",), ("fc",))


def test_small_fits_and_large_does_not() -> None:
    board = targets.load("pynq-z2")
    options = BACKEND.options({"compiler": "vitis"}, "here")
    assert room.too_large(dense(12, 18), board, options) is None  # 144 multipliers, 220 DSPs
    reason = room.too_large(dense(60, 18), board, options)
    assert reason is not None
    assert "53,200" in reason
    assert "reuse_factor" in reason
    assert room.too_large(dense(60, 18, nonzero=150), board, options) is None
    assert room.too_large(dense(60, 18), targets.load("alveo-u250"), options) is None


def test_a_reuse_factor_makes_room() -> None:
    board = targets.load("pynq-z2")
    options = BACKEND.options(
        {"compiler": "vitis", "strategy": "resource", "reuse_factor": 60}, "here"
    )
    assert room.too_large(dense(60, 18), board, options) is None


def test_the_estimate_says_so() -> None:
    board = targets.load("pynq-z2")
    options = BACKEND.options({"compiler": "vitis"}, "here")
    found = BACKEND.estimate(dense(60, 18), board, options)
    assert found["latency"].value is not None  # as HLS would give it
    assert "cannot fit" in found["latency"].source
    assert "cannot fit" in found["lut"].source
    few = replace(dense(12, 6))
    assert "cannot fit" not in BACKEND.estimate(few, board, options)["latency"].source


def test_weights_that_no_memory_holds_are_refused() -> None:
    board = targets.load("pynq-z2")
    options = BACKEND.options({"compiler": "vitis", "strategy": "resource"}, "here")
    assert room.unstorable(dense(500, 16), board, options) is None  # 4 Mbit
    problem = room.unstorable(dense(2000, 16), board, options)  # 64 Mbit
    assert problem is not None
    assert "64 Mbit" in problem.message
    assert "a larger target" in problem.remedy
    assert problem in BACKEND.check(dense(2000, 16), board, options)
    assert room.unstorable(dense(2000, 16), targets.load("alveo-u250"), options) is None
