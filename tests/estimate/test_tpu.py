"""A Cloud TPU without its compiler: how cycles go with size, batch, precision and generation."""

from __future__ import annotations

import pytest

from edgeflow.backends.tpu.generations import GENERATIONS
from edgeflow.estimate import tpu, workload
from edgeflow.estimate.edge_tpu_designs import conv_stack
from edgeflow.estimate.ethos_u_designs import dense, plain
from edgeflow.network import Network


def cycles(
    network: Network, generation: str = "v5e", batch: int = 1, precision: str = "bfloat16"
) -> float:
    constants = tpu.coefficients()["constants"]
    return tpu.cycles(workload.counted(network), generation, batch, precision, constants)


def test_every_generation_has_its_unit() -> None:
    assert set(tpu.UNITS) == set(GENERATIONS)


@pytest.mark.parametrize("generation", sorted(tpu.UNITS))
def test_more_work_takes_longer(generation: str) -> None:
    times = [cycles(conv_stack(filters), generation) for filters in (32, 128, 512, 1024)]
    assert times == sorted(times)
    assert cycles(plain(64, 64, 4), generation, 8) > cycles(plain(64, 64, 4), generation)


def test_a_batch_takes_less_than_so_many_inferences() -> None:
    for network in (dense(1024, 2), plain(32, 16, 4)):
        assert cycles(network, batch=16) < 16 * cycles(network)


def test_precision() -> None:
    network = conv_stack(512)
    half, full = cycles(network), cycles(network, precision="float32")
    assert 4 * half < full < 7 * half
    assert cycles(network, precision="int8") < half, "v5e has twice the rate for int8"
    assert cycles(network, "v3", precision="int8") > 0.9 * cycles(network, "v3")


def test_small_matrices_fill_the_unit_badly() -> None:
    narrow, wide = conv_stack(32), conv_stack(128)
    ratio = cycles(wide) / cycles(narrow)
    macs = wide.totals.macs / narrow.totals.macs
    assert ratio < macs / 2


def test_the_record_beats_macs_alone() -> None:
    (row,) = tpu.coefficients()["accuracy"]
    assert row["median_error"] < row["alternatives"]["MACs only"]["median_error"]
    assert row["held"] >= 0.85 * row["held_of"]
