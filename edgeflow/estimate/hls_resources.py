"""First estimates of an hls4ml design's LUTs, registers, DSPs and block RAMs, before a synthesis.

`edgeflow.estimate.hls_features` says what each layer is made of; constants and bands are in
``coefficients/hls_resources.json``; `edgeflow.estimate.hls_resource_calibration` says how they were
found and how well they held on designs left out. All figures are those of HLS synthesis, which
counts LUTs before logic optimisation: Vivado's own synthesis ends lower (see `LOGIC`). Standard
library alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeflow.estimate import hls_features, hls_schedule
from edgeflow.estimate.hls_digits import Digits
from edgeflow.estimate.hls_features import Block, Widths
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Network

COEFFICIENTS: Final = Path(__file__).with_name("coefficients") / "hls_resources.json"
UNITS: Final = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K"}
OFFSET: Final[Mapping[str, float]] = {"lut": 50.0, "ff": 50.0, "dsp": 3.0, "bram_18k": 2.0}
"""Added before two counts are compared by their ratio, so that 0 against 1 counts little."""

OUTSIDE: Final = 1.5
"""How many times wider a band is outside of what was calibrated: an assumption."""


@cache
def coefficients() -> dict[str, Any]:
    """What the calibration found."""
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text())
    return found


def speed(clock_mhz: float, architecture: str, constants: Mapping[str, float]) -> float:
    """Clock periods in a nanosecond of UltraScale+ logic, in the target's family."""
    slow = constants["seven_series"] if architecture in hls_schedule.SEVEN_SERIES else 1.0
    return slow * clock_mhz * 1e-3


def count(block: Block, constants: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """A layer's LUTs, registers, DSPs and block RAMs."""
    own, common = constants.get(block.regime, {}), constants["plain"]
    found = {}
    for name, terms in (("lut", block.lut), ("ff", block.ff)):
        found[name] = sum(
            value * own.get(f"{name}_{term}", common.get(f"{name}_{term}", 0.0))
            for term, value in terms.items()
        )
    return {**found, "dsp": block.dsp, "bram_18k": block.bram_18k}


def total(parts: Sequence[Block], constants: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The whole design's."""
    found = dict.fromkeys(UNITS, 0.0)
    for block in parts:
        for name, value in count(block, constants).items():
            found[name] += value
    return found


def estimate(
    network: Network,
    *,
    io: str,
    strategy: str | Mapping[str, str],
    reuse_factors: Mapping[str, int],
    widths: Mapping[str, Widths],
    clock_mhz: float | None,
    architecture: str = "",
    compiler: str = "vitis",
    digits: Mapping[str, Digits] | None = None,
) -> dict[str, Estimate]:
    """LUT, FF, DSP and BRAM (18 Kbit) of a design, as HLS synthesis would report them.

    Args:
        network: the model.
        io: ``parallel`` or ``stream``.
        strategy: ``latency`` or ``resource``, for all layers or by layer name.
        reuse_factors: by layer name, legal ones; 1 where a layer is not named.
        widths: bits by layer name; 16 where a layer is not named.
        clock_mhz: the design's clock: how deep its pipelines are.
        architecture: the target's; unknown: UltraScale+.
        compiler: ``vitis`` or ``vivado``.
        digits: of the weights' values, by layer name; expected from their bits where missing.

    Raises:
        ValueError: a clock not above 0.
    """
    if clock_mhz is not None and clock_mhz <= 0:
        raise ValueError(f"expected a clock above 0 MHz, found {clock_mhz}")
    strange = sorted({layer.kind for layer in network if not hls_schedule.known(layer)})
    if strange:
        reason = f"what {', '.join(strange)} (or its shape) is made of is not known"
        return {name: unknown(unit, reason) for name, unit in UNITS.items()}
    if clock_mhz is None:
        reason = "the design's clock is not known"
        return {name: unknown(unit, reason) for name, unit in UNITS.items()}
    parts = blocks(
        network, io=io, strategy=strategy, reuse_factors=reuse_factors, widths=widths,
        clock_mhz=clock_mhz, architecture=architecture, compiler=compiler, digits=digits,
    )  # fmt: skip
    values = total(parts, coefficients()["constants"])
    group = klass(network, io, parts, digits or {})
    return {name: _banded(name, values[name], group, network) for name in UNITS}


def blocks(
    network: Network,
    *,
    clock_mhz: float,
    architecture: str = "",
    digits: Mapping[str, Digits] | None = None,
    **design: Any,
) -> list[Block]:
    """The design's layers (`hls_features.blocks`), its speed taken from clock and family."""
    own = speed(clock_mhz, architecture, coefficients()["constants"]["plain"])
    return hls_features.blocks(network, digits=digits or {}, stages_per_ns=own, **design)


def by_layer(parts: Sequence[Block]) -> dict[str, dict[str, float]]:
    """Each layer's figures, without bands (the reports have none by layer to judge them by)."""
    table = coefficients()["constants"]
    return {block.name: count(block, table) for block in parts}


def klass(network: Network, io: str, parts: Sequence[Block], digits: Mapping[str, Digits]) -> str:
    """Which band a design takes: a single dense layer whose weights are known (by how it is
    built), or a project, ``parallel`` or ``stream``."""
    work = [layer for layer in network if layer.kind not in hls_schedule.FREE]
    if io == "parallel" and [layer.kind for layer in work] == ["dense"]:
        known = work[0].name in digits or "digits" in work[0].attributes
        return dense_class(parts[0], known)
    return io


def dense_class(block: Block, known: bool) -> str:
    """The band of a single dense layer, whose weights are ``known``."""
    if block.regime == "reused":
        return "dense_reused"
    return "dense_unrolled" if known else "dense_expected"


def _banded(name: str, value: float, group: str, network: Network) -> Estimate:
    table = coefficients()
    band = table["bands"][group][name]
    factor, words = band["factor"], ""
    kinds = {layer.kind for layer in network} & hls_schedule.COUNTED
    unseen = sorted(kinds - set(table["bands"][group]["kinds"]))
    low, high = table["bands"][group]["range"]
    weights = sum(layer.weights["kernel"].size for layer in network if layer.kind in kinds)
    if unseen:
        factor *= OUTSIDE
        words += f"; band widened {OUTSIDE:g} times: no such report with {', '.join(unseen)}"
    if not low / 2 <= weights <= high * 2:
        factor *= OUTSIDE
        words += (
            f"; band widened {OUTSIDE:g} times: {weights:,} weights, calibrated on "
            f"{low:,} to {high:,}"
        )
    offset = OFFSET[name]
    middle = float(round(value))
    return Estimate(
        middle,
        float(max(0, math.floor((middle + offset) / factor - offset))),
        float(math.ceil((middle + offset) * factor - offset)),
        UNITS[name],
        "model",
        f"HLS synthesis (before logic optimisation), {group} design; groups left out whole: "
        f"{band['within']} of {band['rows']} within the band; {table['source']}{words}",
    )
