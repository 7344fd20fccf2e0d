"""First estimates of an hls4ml design's latency, before there is a synthesis.

`edgeflow.estimate.hls_schedule` counts the cycles; this module puts the band around them. Constants
and bands are in ``coefficients/hls_latency.json``; `edgeflow.estimate.hls_calibration` says how
they were found and how well they held on designs left out. Standard library alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import hls_schedule
from edgeflow.estimate.hls_digits import Digits
from edgeflow.estimate.hls_schedule import COUNTED, known, schedule, strategy_of
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "hls_latency.json"

OFFSET: Final = 3.0
"""Cycles added before two latencies are compared by their ratio, so that 0 against 1 counts
little: the band is [(v + 3) / f - 3, (v + 3) * f - 3]."""

UNSEEN: Final = 1.5
"""How many times wider a band is for a design with a kind of layer that its reports do not hold: an
assumption."""


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def estimate(
    network: Network,
    *,
    io: str,
    strategy: str | Mapping[str, str],
    reuse_factors: Mapping[str, int],
    clock_mhz: float | None,
    architecture: str = "",
    compiler: str = "vitis",
    digits: Mapping[str, Digits] | None = None,
) -> dict[str, Estimate]:
    """Cycles and seconds of one inference, and the cycles between two.

    Args:
        network: the model.
        io: ``parallel`` or ``stream``.
        strategy: ``latency`` or ``resource``, for all layers or by layer name.
        reuse_factors: by layer name, legal ones; 1 where a layer is not named.
        clock_mhz: the design's clock; None where it is not known. That synthesis reaches it is
            assumed.
        architecture: the target's, for the speed of its logic; unknown: UltraScale+.
        compiler: ``vitis`` or ``vivado``.
        digits: of the weights' values, by layer name; expected from their bits where missing.

    Returns:
        ``latency_cycles``, ``ii`` (cycles) and ``latency`` (s); with their reason where the
        Network holds a layer of which the schedule is not known, or there is no clock.

    Raises:
        ValueError: an interface that does not exist, or a clock not above 0.
    """
    if clock_mhz is not None and clock_mhz <= 0:
        raise ValueError(f"expected a clock above 0 MHz, found {clock_mhz}")
    strange = sorted({layer.kind for layer in network if not known(layer)})
    if strange:
        return _nothing(f"the schedule of {', '.join(strange)} (or its shape) is not known")
    if clock_mhz is None:
        return _nothing("the design's clock is not known")
    table = coefficients()

    def cycles_of(reuse: Mapping[str, int]) -> tuple[float, float]:
        return schedule(
            network,
            io=io,
            strategy=strategy,
            reuse_factors=reuse,
            clock_mhz=clock_mhz,
            architecture=architecture,
            compiler=compiler,
            constants=table["constants"],
            digits=digits,
        )

    cycles, interval = cycles_of(reuse_factors)
    group = regime(network, io, strategy, reuse_factors)
    told = any(layer.name in (digits or {}) or "digits" in layer.attributes for layer in network)
    if group == "dense_shared" and not told:
        group = "shared"  # how many products are shared hangs on the weights
    band = table["bands"][group]
    seen = band["latency"]
    factor, interval_factor = seen["factor"], band["ii"]["factor"]
    source = (
        f"schedule of an io_{io} design ({group}); groups left out whole: {seen['within']} of "
        f"{seen['rows']} within the band; {table['source']}"
    )
    if group.endswith("reused") and cycles > 0:
        # The reports are of large R, whose cycles are certain. What is not reuse is arithmetic,
        # and as uncertain as in an unrolled design.
        arithmetic = min(1.0, cycles_of({})[0] / cycles)
        unrolled = table["bands"]["unrolled"]["latency"]["factor"]
        factor = max(factor, factor + arithmetic * (unrolled - factor))
    unseen = sorted({layer.kind for layer in network} & COUNTED - set(band["kinds"]))
    if unseen:
        factor, interval_factor = factor * UNSEEN, interval_factor * UNSEEN
        source += f"; band widened {UNSEEN:g} times: no such report with {', '.join(unseen)}"
    latency = _banded(cycles, factor, source)
    period = 1e-6 / clock_mhz
    assert latency.value is not None
    assert latency.low is not None
    assert latency.high is not None
    return {
        "latency_cycles": latency,
        "ii": _banded(interval, interval_factor, source, least=1),
        "latency": Estimate(
            latency.value * period,
            latency.low * period,
            latency.high * period,
            "s",
            "model",
            f"at {clock_mhz:g} MHz, if synthesis reaches it; {source}",
        ),
    }


def by_layer(network: Network, **design: Any) -> dict[str, dict[str, float]]:
    """Each layer's ``latency_cycles`` and ``ii``, without bands; arguments as `estimate` has."""
    constants = coefficients()["constants"]
    return {
        stage.name: {"latency_cycles": stage.latency, "ii": stage.interval}
        for stage in hls_schedule.stages(network, constants=constants, **design)
    }


def regime(
    network: Network, io: str, strategy: str | Mapping[str, str], reuse_factors: Mapping[str, int]
) -> str:
    """Which band a design takes; with ``dense_`` before it for a dense layer alone, in parallel.

    ``stream`` (of positions) or ``stream_flat`` (a vector alone); in parallel ``unrolled`` (a
    multiplier per product), ``reused`` (layers of the resource strategy with R > 1) or ``shared``
    (the latency strategy with R > 1, where the tool decides how many multipliers it shares).
    """
    if io == "stream":
        flat = all(len(layer.output_shape) < 2 for layer in network)
        return "stream_flat" if flat else "stream"
    work = [layer.kind for layer in network if layer.kind not in hls_schedule.FREE]
    alone = "dense_" if work == ["dense"] else ""
    reused = [name for name, factor in reuse_factors.items() if factor > 1]
    if not reused:
        return f"{alone}unrolled"
    chosen = [strategy_of(strategy, name) for name in reused]
    return alone + ("shared" if "latency" in chosen else "reused")


def _nothing(reason: str) -> dict[str, Estimate]:
    return {
        "latency_cycles": unknown("cycles", reason),
        "ii": unknown("cycles", reason),
        "latency": unknown("s", reason),
    }


def _banded(value: float, factor: float, source: str, least: float = 0.0) -> Estimate:
    middle = max(least, float(round(value)))
    low = max(least, (middle + OFFSET) / factor - OFFSET)
    high = (middle + OFFSET) * factor - OFFSET
    return Estimate(middle, math.floor(low), math.ceil(high), "cycles", "model", source)
