"""Whether a design fits, and which reuse factors make it."""

from __future__ import annotations

from collections.abc import Mapping

from edgeflow.backends.hls4ml import reuse
from edgeflow.estimate import hls_fit, hls_resources
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Layer, Network, Weight

CAPACITY = {"lut": 53200.0, "ff": 106400.0, "dsp": 220.0, "bram_18k": 280.0}
LAYERS = (
    Layer("x", "input", output_shape=(64,)),
    Layer("fc", "dense", ("x",), ((64,),), (64,), {}, {"kernel": Weight((64, 64), 16)}),
)
NETWORK = Network("n", LAYERS, ("x",), ("fc",))


def estimated(reuse_factors: Mapping[str, int], strategy: str = "resource") -> dict[str, Estimate]:
    return hls_resources.estimate(
        NETWORK, io="parallel", strategy=strategy, reuse_factors=reuse_factors, widths={},
        clock_mhz=100.0, architecture="zynq-7000",
    )  # fmt: skip


def test_the_smallest_reuse_factor_that_fits() -> None:
    allowed = reuse.factors(NETWORK["fc"])
    found = hls_fit.fit(estimated({"fc": 1}, "latency"), estimated, {"fc": allowed}, CAPACITY)
    assert "dsp" in found.over
    assert found.reuse_factors is not None
    chosen = found.reuse_factors["fc"]
    assert chosen in allowed
    assert not hls_fit.overflow(estimated({"fc": chosen}), CAPACITY)
    before = max(factor for factor in allowed if factor < chosen)
    assert hls_fit.overflow(estimated({"fc": before}), CAPACITY)


def test_a_design_that_fits_needs_nothing() -> None:
    now = estimated({"fc": 64})
    assert hls_fit.fit(now, estimated, {"fc": (64,)}, CAPACITY) == hls_fit.Fit({}, None)


def test_nothing_fits_a_device_without_room() -> None:
    tiny = dict.fromkeys(CAPACITY, 1.0)
    found = hls_fit.fit(estimated({"fc": 1}), estimated, {"fc": (64, 4096)}, tiny)
    assert found.over
    assert found.reuse_factors is None
