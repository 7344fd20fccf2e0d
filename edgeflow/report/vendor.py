"""A vendor's synthesis as tables for a terminal: whole design, layers, our estimates' trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeflow.report import units

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Record = Mapping[str, Any]

COUNTS = {"lut": "LUT", "alm": "ALM", "alut": "ALUT", "ff": "FF", "dsp": "DSP",
          "bram_18k": "BRAM 18K", "ram": "RAM blocks", "uram": "URAM"}  # fmt: skip


def render(record: Record, console: Console, name: str = "") -> None:
    """Print what the reports say (`edgeflow.report.schema.VendorSynthesis`)."""
    from rich.text import Text

    title = " ".join(str(part) for part in (name, record["top"], record["part"]) if part)
    console.print()
    console.print(_whole(record, f"synthesised: {title}"))
    if record["layers"]:
        console.print(_layers(record["layers"]))
    if record["comparison"]:
        console.print(_comparison(record["comparison"]))
    for remark in record["remarks"]:
        console.print(Text(remark, style="bold red"))


def rows(record: Record) -> list[dict[str, Any]]:
    """One row per report of the whole design: its name, counts with shares, clock, cycles."""
    made = []
    for key, words in (("hls", "HLS"), ("logic", "logic"), ("system", "board design")):
        one = record[key]
        if one:
            stage = f" ({one['stage']})" if one.get("stage") else ""
            tool = f"{one.get('tool') or ''} {one.get('version') or ''}".strip()
            made.append({"report": f"{words}{stage}", "tool": tool, **_figures(one)})
    if cosim := record["cosim"]:
        state = "passed" if cosim.get("passed") else "FAILED"
        made.append({"report": f"co-simulation ({state})", "tool": "", **_figures(cosim)})
    return made


def columns(found: Sequence[Record]) -> dict[str, str]:
    """The columns that have a figure, with their headings."""
    every = {**COUNTS, "clock": "clock", "latency": "cycles", "ii": "II"}
    return {key: head for key, head in every.items() if any(key in row for row in found)}


def layer_rows(layers: Sequence[Record]) -> list[dict[str, Any]]:
    """Two rows at most per layer: HLS and logic synthesis."""
    made = []
    for layer in layers:
        name = layer["layer"] or layer["module"] or f"config{layer['number']}"
        for key, words in (("hls", "HLS"), ("logic", "logic")):
            if layer[key]:
                made.append({"layer": name, "report": words, **_figures(layer[key])})
                name = ""
    return made


def _figures(one: Record) -> dict[str, str]:
    found = {}
    for name in COUNTS:
        if one.get(name) is not None:
            free = one.get(f"available_{name}")
            share = f" ({100 * one[name] / free:.0f} %)" if free else ""
            found[name] = f"{one[name]:,.10g}{share}"
    if one.get("clock_ns"):
        found["clock"] = units.si(1e9 / one["clock_ns"], "Hz")
    for key, pair in (("latency", one.get("latency_cycles")), ("ii", one.get("ii"))):
        if pair:
            low, high = pair
            found[key] = f"{high:,}" if low == high else f"{low:,}–{high:,}"
    return found


def _whole(record: Record, title: str) -> Table:
    found = rows(record)
    return _table(title, {"report": "report", "tool": "tool", **columns(found)}, found)


def _layers(layers: Sequence[Record]) -> Table:
    found = layer_rows(layers)
    heads = {"layer": "layer", "report": "report", **columns(found)}
    return _table("by layer (FIFOs and what joins the layers are not in it)", heads, found)


def _comparison(found: Sequence[Record]) -> Table:
    heads = {"quantity": "quantity", "predicted": "predicted", "found": "synthesised",
             "ratio": "ratio", "within": "in its band"}  # fmt: skip
    made = [
        {
            "quantity": units.title(row["quantity"]),
            "predicted": _with_band(row["predicted"]),
            "found": units.si(row["found"]["value"], row["found"]["unit"]),
            "ratio": "" if row["ratio"] is None else f"{row['ratio']:.2f}",
            "within": "yes" if row["within"] else "NO",
        }
        for row in found
    ]
    return _table("our estimates beside it", heads, made)


def _with_band(estimate: Record) -> str:
    band = units.band(estimate)
    text = units.si(estimate["value"], estimate["unit"])
    return f"{text} ({band})" if band else text


def _table(title: str, heads: Mapping[str, str], found: Sequence[Record]) -> Table:
    from rich.text import Text

    from edgeflow.report.terminal import new_table

    table = new_table(title)
    for place, head in enumerate(heads.values()):
        table.add_column(head, justify="left" if place < 2 else "right", overflow="fold")
    for row in found:
        table.add_row(*(Text(str(row.get(key, ""))) for key in heads))
    return table
