"""Resources of hls4ml designs before synthesis, against reports of synthesised ones."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from edgeflow.estimate import hls_digits, hls_features, hls_resources
from edgeflow.estimate.hls_features import Widths
from edgeflow.network import Layer, Network, Weight


def dense(n_in: int, n_out: int, bits: float = 8) -> Network:
    layers = (
        Layer("x", "input", output_shape=(n_in,)),
        Layer(
            "fc", "dense", ("x",), ((n_in,),), (n_out,), {}, {"kernel": Weight((n_in, n_out), bits)}
        ),
    )
    return Network("n", layers, ("x",), ("fc",))


def figures(network: Network, strategy: str, reuse: int, **more: object) -> dict[str, float]:
    found = hls_resources.estimate(
        network, io="parallel", strategy=strategy, reuse_factors={"fc": reuse},
        widths={"fc": Widths(16, 8, 16, 16)}, clock_mhz=200.0, **more,
    )  # fmt: skip
    return {name: float(item.value or 0) for name, item in found.items()}


@pytest.mark.parametrize(
    ("value", "digits"), [(0, 0), (1, 1), (-8, 1), (7, 2), (10, 2), (11, 3), (-39, 3), (85, 4)]
)
def test_digits_of_a_constant(value: int, digits: int) -> None:
    assert hls_digits.weight_of(value) == digits


def test_digits_of_a_matrix_share_a_rows_values() -> None:
    found = hls_digits.counted([[11, 11, -11], [3, 0, -2]])
    assert (found.nonzero, found.columns) == (5, 3)
    assert (found.hard, found.hard_uses) == (2, 3)  # 11 is made once for two outputs
    assert (found.pairs, found.pair_uses, found.negated) == (1, 1, 1)


def test_expected_digits_follow_bits_and_sparsity() -> None:
    hard = [hls_digits.expected(32, 64, bits, None).hard for bits in (4, 8, 12)]
    assert hard[0] == 0 < hard[1] < hard[2] < 32 * 64
    pruned = hls_digits.expected(32, 64, 8, 512)
    assert pruned.nonzero == 512
    assert pruned.hard < hls_digits.expected(32, 64, 8, None).hard


@pytest.mark.parametrize(
    ("width", "depth", "blocks"), [(256, 384, 8), (512, 768, 29), (32, 1280, 4), (36, 512, 1)]
)
def test_block_rams_of_a_memory(width: int, depth: int, blocks: int) -> None:
    assert hls_features.ram_blocks(width, depth) == blocks


def test_a_reused_layer_as_its_report_has_it() -> None:
    # dense_192_128_8b, reuse factor 384 (wa-hls4ml): 16540 LUT, 2681 FF, 64 DSP, 15 BRAM.
    found = figures(dense(192, 128), "resource", 384)
    assert found["lut"] == pytest.approx(16540, rel=0.02)
    assert found["ff"] == pytest.approx(2681, rel=0.08)
    assert (found["dsp"], found["bram_18k"]) == (64, 15)


def test_more_reuse_takes_fewer_dsps() -> None:
    found = [figures(dense(64, 64), "resource", reuse)["dsp"] for reuse in (64, 128, 256)]
    assert found == [64, 32, 16]


def test_far_outside_of_the_calibrated_range_is_wider_and_says_so() -> None:
    def spread(n_in: int) -> tuple[float, str]:
        found = hls_resources.estimate(
            dense(n_in, 128), io="parallel", strategy="resource", reuse_factors={"fc": n_in * 4},
            widths={}, clock_mhz=200.0,
        )["lut"]  # fmt: skip
        assert found.value is not None
        assert found.high is not None
        return found.high / found.value, found.source

    near, far = spread(128), spread(8192)
    assert "widened" not in near[1]
    assert "widened" in far[1]
    assert far[0] > 1.3 * near[0]


def test_no_clock_and_no_shape_are_null_with_a_reason() -> None:
    network = dense(8, 8)
    found = hls_resources.estimate(
        network, io="parallel", strategy="latency", reuse_factors={}, widths={}, clock_mhz=None
    )
    assert found["lut"].value is None
    assert "clock" in str(found["lut"].reason)
    with pytest.raises(ValueError, match="clock"):
        hls_resources.estimate(
            network, io="parallel", strategy="latency", reuse_factors={}, widths={}, clock_mhz=0
        )


def test_dense_layers_against_their_reports(data_root: Path) -> None:
    """The targets, with the constants in the repository (fitted on these rows; groups left out
    are in the coefficients' own record)."""
    from edgeflow.estimate import hls_resource_designs

    table = hls_resources.coefficients()["constants"]
    errors: dict[str, list[float]] = {"lut": [], "ff": [], "dsp": []}
    for sample in hls_resource_designs.dense(data_root):
        guess = hls_resources.total(sample.blocks, table)
        for name, found in errors.items():
            if truth := sample.truth[name]:
                found.append(abs(guess[name] / truth - 1))
    assert statistics.median(errors["lut"]) < 0.01
    assert statistics.median(errors["ff"]) < 0.05
    assert statistics.median(errors["dsp"]) < 0.02
    assert max(errors["lut"]) < 0.15


def test_the_record_meets_the_targets_for_dense_layers() -> None:
    bands = hls_resources.coefficients()["bands"]
    for name, most in (("lut", 0.12), ("ff", 0.15), ("dsp", 0.10)):
        for group in ("dense_reused", "dense_unrolled"):
            assert bands[group][name]["median_error"] <= most
