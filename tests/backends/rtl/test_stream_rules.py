"""What the stream style refuses, all at once and with a remedy; and its reuse factors."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

from edgeflow import targets
from edgeflow.backends.rtl import reuse, stream
from edgeflow.backends.rtl.backend import BACKEND

spec = importlib.util.spec_from_file_location(
    "stream_networks", Path(__file__).parent / "stream_networks.py"
)
assert spec is not None
assert spec.loader is not None
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)


def problems(draft: Any, target: str = "ulx3s-85f", **given: Any) -> list[str]:
    options = BACKEND.options({"style": "stream", **given}, "options")
    return [str(p) for p in BACKEND.check(draft.network(), targets.load(target), options)]


def test_what_can_be_built_has_no_problem() -> None:
    for make in (networks.mlp, networks.residual, networks.windows, networks.padded):
        assert problems(make()) == []


def test_all_problems_come_at_once_with_remedies() -> None:
    draft = networks.Draft((6, 6, 2)).add("q", "quantize", quantizer=networks.fixed(6, 0))
    draft.pool("mean", "avg", 3).add("big", "upsample", (4, 4, 2), size=[2, 2])
    draft.add("pad", "pad", (6, 6, 2), padding=[[1, 1], [1, 1]]).pool("peak").flatten()
    draft.dense("fc", 2, networks.fixed(4, 0))
    found = problems(draft)
    assert len(found) == 3
    assert "'mean': an average of 9 values (use windows of 2, 4" in found[0]
    assert "'big': no stream stage computes 'upsample'" in found[1]
    assert "'pad': padding before a layer that is no convolution" in found[2]


def test_weights_beyond_the_block_ram_are_refused_with_figures() -> None:
    draft = networks.Draft((512,)).add("q", "quantize", quantizer=networks.fixed(6, 0))
    draft.dense("fc", 64, networks.fixed(6, 0))
    assert problems(draft) == []
    (said,) = problems(draft, "icebreaker")
    assert "the weights take 192 Kbit; the block RAM" in said
    assert "a target that holds it, such as tang-nano-9k" in said


def test_every_legal_factor_has_its_multipliers() -> None:
    work = reuse.Work(
        "c", 100, 25, 6, 16, each=False, weighted=True, x_bits=6, w_bits=6, pixels=196
    )
    for folding in reuse.foldings(work):
        products = work.window * work.channels * work.filters
        assert folding.inputs * folding.outputs * folding.factor == products
        assert folding.cycles >= work.positions * folding.factor
    assert reuse.factors(work)[0] == 1
    assert reuse.factors(work)[-1] == 25 * 6 * 16
    assert reuse.nearest(work, 26).factor == 25


def test_auto_balances_the_stages_and_keeps_the_budget() -> None:
    network = networks.residual().network()
    small = reuse.choices(network, reuse.Budget(lut=3000, dsp=8))
    large = reuse.choices(network, reuse.Budget(lut=60000, dsp=100))
    assert max(c.cycles for c in large.values()) < max(c.cycles for c in small.values())
    assert sum(c.dsp for c in small.values()) <= 8
    works = {w.name: w for layer in network if (w := reuse.work_of(layer, network))}
    slowest = max(c.cycles for c in small.values())
    for name, choice in small.items():  # nothing is dearer than the slowest stage allows
        cheapest = reuse.within(works[name], slowest)
        assert (choice.inputs, choice.outputs) == (cheapest.inputs, cheapest.outputs)


def test_a_budget_counts_blocks_and_wide_luts() -> None:
    board = stream.budget_of(targets.load("icebreaker"))
    assert (board.lut, board.dsp, board.ram_bits) == (5280, 8, 30 * 4096)
    gowin = stream.budget_of(targets.load("tang-nano-9k"))
    assert gowin.lut == 0.75 * 8640  # see GOWIN_WORTH
    zynq = stream.budget_of(targets.load("pynq-z2"))
    assert zynq.lut is not None
    assert math.isclose(zynq.lut, 53200 * 1.6)


def test_a_style_that_nobody_asked_for_is_made_in_minutes(tmp_path) -> None:
    model = networks.mlp().save(tmp_path / "model")
    for name, most in (("ulx3s-85f", 30_000), ("alveo-u250", 100_000), ("icebreaker", 5280)):
        target = targets.load(name)
        job = stream.compile_job(model, target, {}, None, "net", "as it is too large")
        assert job.params["budget"]["lut"] == most
        assert job.params["note"] == "as it is too large"
        asked = stream.compile_job(model, target, {}, None, "net")
        assert asked.params["budget"]["lut"] == stream.budget_of(target).lut
        assert "note" not in asked.params
