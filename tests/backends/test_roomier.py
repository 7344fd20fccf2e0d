"""What a message about memory advises."""

from __future__ import annotations

from edgeflow import targets
from edgeflow.backends import roomier
from edgeflow.backends.tflite import support
from edgeflow.network import Layer, Network, Weight


def dense(units: int) -> Network:
    layers = (
        Layer("x", "input", (), (), (units,)),
        Layer("d", "dense", ("x",), ((units,),), (units,), {}, {"kernel": Weight((units, units))}),
    )
    return Network("n", layers, ("x",), ("d",), {"format": "keras3"})


def test_the_smallest_boards_that_hold_it_are_named():
    board = targets.load("nucleo-f103rb")
    found = roomier.larger(board, {"flash": 1.2e6, "ram": 100_000})
    assert len(found) == roomier.MOST
    for name in found:
        other = targets.load(name)
        assert other.kind == "mcu"
        assert other.memory["flash"].value >= 1.2e6
        assert other.memory["ram"].value >= 100_000
    sizes = [sum(targets.load(n).memory[m].value for m in ("flash", "ram")) for n in found]
    assert sizes == sorted(sizes)


def test_a_model_that_is_too_large_is_told_by_how_much_and_what_would_fit():
    board = targets.load("nucleo-f103rb")  # 128 KiB of flash, 20 KiB of RAM
    (problem,) = support.memory(dense(600), board, "int8")
    assert "360,000 B of flash at int8" in problem.message
    assert "131,072 B: 228,928 B too much" in problem.message
    assert "at most 36.4% of this one's size" in problem.remedy
    assert roomier.larger(board, {"flash": 360_000, "ram": 1200})[0] in problem.remedy


def test_fewer_bits_are_advised_where_they_are_enough():
    board = targets.load("nucleo-f103rb")
    (problem,) = support.memory(dense(300), board, "float32")
    assert problem.remedy.startswith("choose precision int8, which fits here; or a target")


def test_where_nothing_is_large_enough_it_says_so():
    (problem,) = support.memory(dense(300_000), targets.load("raspberry-pi-5"), "float32")
    assert "no Linux board that edgeflow knows has so much" in problem.remedy
