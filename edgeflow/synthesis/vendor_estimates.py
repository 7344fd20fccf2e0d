"""What a vendor's reports (`vendor_reports.gather`) say, as estimates; and how near ours were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgeflow.estimate.quantity import Estimate, unknown

Record = Mapping[str, Any]

UNITS: Final = {
    "lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K", "uram": "URAM",
    "alm": "ALM", "ram": "BRAM",
}  # fmt: skip
ALWAYS: Final = ("lut", "ff", "dsp", "bram_18k", "uram")

SPREAD: Final = {"lut": 4.6, "ff": 3.3, "dsp": 1.11, "bram_18k": 12.0, "uram": 1.1, "ram": 2.0}
"""How far HLS' figures lie above those of logic synthesis.

The largest ratio in 12 hls4ml projects whose authors published both reports (Vivado HLS 2018.2 to
Vitis HLS 2022, vu9p, z020, u50, vu13p): LUT 1.4 to 4.6, FF 0.9 to 3.3, DSP 0.96 to 1.11, block RAM
1.2 to 12 (and once 69, where small memories became LUTs).
"""

STAGES: Final = {
    "synthesised": "logic synthesis (before placement)",
    "placed": "placed design",
    "routed": "placed and routed design",
}


def estimates(record: Record, clock_mhz: float | None = None) -> dict[str, Estimate]:
    """The figures of a synthesised design.

    Where there is logic synthesis (or place and route), its counts and clock win, and what HLS
    said stands beside them as ``lut_hls`` and so on; without it HLS' counts have a band
    (`SPREAD`). Cycles of a co-simulation that passed win over HLS' (method ``simulated``).

    Args:
        record: as `vendor_reports.gather` gives it.
        clock_mhz: the clock where the reports name none.
    """
    hls, logic = record.get("hls"), record.get("logic")
    found: dict[str, Estimate] = {}
    for name in UNITS:
        given = [one for one in (logic, hls) if one and one.get(name) is not None]
        if given or name in ALWAYS:
            found |= _count(name, hls, logic)
    if board := record.get("system"):
        for name in UNITS:
            if board.get(name) is not None:
                source = f"{_logic_source(board)} of the whole board design"
                found[f"{name}_board"] = _exact(board[name], UNITS[name], source)
    return found | _times(record, clock_mhz)


def _count(name: str, hls: Record | None, logic: Record | None) -> dict[str, Estimate]:
    unit = UNITS[name]
    value = (hls or {}).get(name)
    if logic and logic.get(name) is not None:
        found = {name: _exact(logic[name], unit, _logic_source(logic))}
        if value is not None:
            found[f"{name}_hls"] = _exact(value, unit, _hls_source(hls or {}))
        return found
    if value is None:
        return {name: unknown(unit, "the reports do not say", "synthesised", "vendor's reports")}
    low = value / SPREAD.get(name, 1.0)
    return {name: Estimate(value, low, value, unit, "synthesised", _hls_source(hls or {}))}


def _times(record: Record, clock_mhz: float | None) -> dict[str, Estimate]:
    hls, logic, cosim = (record.get(name) or {} for name in ("hls", "logic", "cosim"))
    found: dict[str, Estimate] = {}
    for name in ("latency_cycles", "ii"):
        measured = cosim.get(name) if cosim.get("passed") else None
        said = hls.get(name)
        if measured:
            found[name] = _worst(measured, "simulated", "RTL co-simulation of the vendor's tool")
            if said:
                found[f"{name}_hls"] = _worst(said, "synthesised", _hls_source(hls))
        elif said:
            found[name] = _worst(said, "synthesised", _hls_source(hls))
        elif hls or cosim:
            reason = "the report calls it undefined (it depends on data, or was not simulated)"
            found[name] = unknown("cycles", reason, "synthesised", _hls_source(hls))
    reached = [(logic, _logic_source), (hls, _hls_source)]
    clocks = [(one["clock_ns"], source(one)) for one, source in reached if one.get("clock_ns")]
    if clocks:
        source = clocks[0][1] + ("" if logic.get("clock_ns") else ", estimated")
        found["clock"] = Estimate.exact(1e9 / clocks[0][0], "Hz", "synthesised", source)
    target = record.get("clock_target_ns") or (1000 / clock_mhz if clock_mhz else None)
    cycles = found.get("latency_cycles")
    if cycles is not None and cycles.value is not None and target:
        period = max(target, clocks[0][0] if clocks else 0.0) * 1e-9
        assert cycles.low is not None
        assert cycles.high is not None
        found["latency"] = Estimate(
            cycles.value * period, cycles.low * period, cycles.high * period, "s", cycles.method,
            f"{cycles.source}, at {period * 1e9:.4g} ns",
        )  # fmt: skip
    elif hls or cosim:
        reason = "the reports give no latency"
        found["latency"] = unknown("s", reason, "synthesised", _hls_source(hls))
    return found


def _exact(value: float, unit: str, source: str) -> Estimate:
    return Estimate.exact(value, unit, "synthesised", source)


def _worst(pair: list[float], method: str, source: str) -> Estimate:
    return Estimate(pair[1], pair[0], pair[1], "cycles", method, source)


def _hls_source(hls: Record) -> str:
    return f"HLS report, {hls.get('tool') or 'HLS'} {hls.get('version') or ''}".strip()


def _logic_source(logic: Record) -> str:
    stage = STAGES.get(str(logic.get("stage")), "logic synthesis")
    return f"{stage}, {logic.get('tool') or ''} {logic.get('version') or ''}".strip()


def merge(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Estimates with what a synthesis says in their place, where it says a figure."""
    said = {
        name: one
        for name, one in after.items()
        if one.value is not None or name not in before or before[name].value is None
    }
    return {**before, **said}


def remarks(record: Record) -> list[str]:
    """What a reader must know of a synthesis: a failed co-simulation, a missed clock, no room."""
    found = []
    logic, hls, board = (record.get(name) or {} for name in ("logic", "hls", "system"))
    if (record.get("cosim") or {}).get("passed") is False:
        found.append("the RTL co-simulation of the vendor's tool FAILED")
    wanted, reached = record.get("clock_target_ns"), logic.get("clock_ns") or hls.get("clock_ns")
    if wanted and reached and reached > wanted:
        found.append(
            f"the clock of {1000 / wanted:.4g} MHz is not reached: "
            f"{STAGES.get(str(logic.get('stage')), 'HLS') if logic.get('clock_ns') else 'HLS'} "
            f"says {1000 / reached:.4g} MHz"
        )
    for one in (board or logic or hls,):
        over = [
            f"{one[name]:,} {UNITS[name]} of {one['available_' + name]:,}"
            for name in UNITS
            if one.get(name) and one.get(f"available_{name}", one[name]) < one[name]
        ]
        if over:
            found.append(f"the design does not fit its part: {', '.join(over)}")
    return found


def compare(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    """Our estimates beside what was synthesised, quantity by quantity.

    Returns:
        per quantity that both know: ``quantity``, ``predicted`` and ``found`` (as JSON), ``ratio``
        (predicted over found, None where one is 0), ``within``: whether the found value lies in the
        predicted band.
    """
    rows = []
    for name, found in after.items():
        guess = before.get(name)
        if guess is None or guess.value is None or found.value is None:
            continue
        if guess.method in ("synthesised", "measured"):
            continue
        assert guess.low is not None
        assert guess.high is not None
        rows.append(
            {
                "quantity": name,
                "predicted": guess.to_json(),
                "found": found.to_json(),
                "ratio": guess.value / found.value if found.value and guess.value else None,
                "within": guess.low <= found.value <= guess.high,
            }
        )
    return rows
