"""The compile job of the stream style: a Network into one Verilog file of streaming stages.

The output folder holds ``design.json`` (``edgeflow.design/1``) and ``verilog/NAME.v``. VHDL is
not written for this style.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.rtl import reuse, stream_schedule_job, stream_text_job
from edgeflow.backends.rtl.job import golden_vectors, read_weights
from edgeflow.backends.rtl.stream_layers_job import Planner
from edgeflow.backends.rtl.stream_signals_job import counter_bits
from edgeflow.backends.rtl.stream_stages_job import Fifo, Stage, Stream
from edgeflow.backends.rtl.trace_job import type_text
from edgeflow.network import Network

FORMAT = "edgeflow.design/1"
LEAST_FIFO = 2
"""Beats of the smallest FIFO."""


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Write a streaming design.

    ``inputs``: ``network`` (JSON), ``weights`` (npz), maybe ``golden`` (folder; its ``x`` gives
    the input's grid where the model does not round it). ``params``: ``name`` (of the top module);
    and, all of them optional, ``reuse_factor`` (``auto`` or a number), ``layers`` (by Network
    layer, ``reuse_factor``), ``multiplier`` (``auto``, ``dsp``, ``lut``), ``budget`` (``lut``,
    ``dsp``, ``ram_bits``; what ``auto`` may use), ``input_type`` (as
    `edgeflow.backends.fixed_job.parse` reads it), ``note`` (one more of the notes).

    Returns:
        What ``design.json`` says of ``top``, ``style``, ``latency_cycles``, ``ii``, ``cost``,
        ``layers``, ``input_type``, ``reuse_factors``, ``inexact``, ``notes``; ``softmax`` (the
        layer that is left to the host) and ``scale`` (of the outputs). ``result.json`` holds the
        same.

    Raises:
        UnsupportedError: what no stream can compute.
    """
    progress(0, 3, "plan")
    network = Network.load(inputs["network"])
    weights = read_weights(inputs["weights"])
    chosen = reuse.choices(
        network,
        reuse.Budget(**(params.get("budget") or {})),
        params.get("reuse_factor") or "auto",
        params.get("layers") or {},
        params.get("multiplier") or "auto",
    )
    given = params.get("input_type")
    x, y = golden_vectors(inputs.get("golden"))
    planner = Planner(network, weights, x, chosen, given)
    planner.run()
    assert planner.source is not None
    assert planner.sink is not None
    assert planner.input_kind is not None
    progress(1, 3, "schedule")
    schedule = plan_schedule(planner.stages, planner.source, planner.sink)
    progress(2, 3, "write Verilog")
    name = stream_text_job.verilog_name(params["name"], set())
    text = stream_text_job.write(name, planner.stages, planner.source, planner.sink)
    folder = output / "verilog"
    folder.mkdir()
    (folder / f"{name}.v").write_text(text)
    design = {
        "format": FORMAT,
        "top": name,
        "style": "stream",
        "files": {"verilog": [f"verilog/{name}.v"], "vhdl": []},
        "clock": "clk",
        "reset": "rst",
        "handshake": True,
        "latency_cycles": schedule.latency,
        "ii": schedule.interval,
        "input": {
            **_port("in", planner.source),
            "rounding": planner.input_kind.rounding,
            "overflow": planner.input_kind.overflow,
        },
        "output": _port("out", planner.sink),
        "layers": _layers(name, planner.stages),
        "stages": [
            {
                "instance": stage.name,
                "kind": type(stage).__name__.lower(),
                "lanes": [s.lanes for s in (*stage.inputs, *stage.outputs)],
                "cost": _total([stage]),
            }
            for stage in planner.stages
        ],
        "cost": _total(planner.stages),
        "input_type": None if planner.own_input else type_text(planner.input_kind),
        "reuse_factors": {layer: choice.to_json() for layer, choice in chosen.items()},
        "inexact": sorted(set(planner.inexact)),
        "notes": [
            *([str(params["note"])] if params.get("note") else []),
            *_notes(chosen, planner, network),
        ],
    }
    (output / "design.json").write_text(json.dumps(design, indent=1) + "\n")
    kept = (
        "top", "style", "latency_cycles", "ii", "cost", "layers", "input_type", "reuse_factors",
        "inexact", "notes",
    )  # fmt: skip
    result = {key: design[key] for key in kept} | {
        "softmax": _softmax(network),
        "scale": float(np.abs(y).max(initial=0.0)) if y is not None else 1.0,
    }
    (output / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    progress(3, 3)
    return result


def plan_schedule(
    stages: list[Stage], source: Stream, sink: Stream
) -> stream_schedule_job.Schedule:
    """Give each FIFO the depth that never holds anything up, and count the cycles."""
    queues = [stage for stage in stages if isinstance(stage, Fifo)]
    if queues:
        stream_schedule_job.run(stages, source, sink)
        for queue in queues:
            queue.depth = max(LEAST_FIFO, 1 << counter_bits(queue.most))
    return stream_schedule_job.run(stages, source, sink)


def _port(prefix: str, stream: Stream) -> dict[str, Any]:
    grid = stream.grid
    return {
        "port": f"{prefix}_data",
        "width": stream.bits,
        "beats": stream.beats,
        "elements": [
            {
                "lsb": lane * grid.bits,
                "bits": grid.bits,
                "signed": grid.signed,
                "fraction": grid.fraction,
            }
            for lane in range(stream.lanes)
        ],
    }


def _layers(top: str, stages: list[Stage]) -> dict[str, dict[str, Any]]:
    """By Network layer: its stages' instances and modules, and their cost.

    A stage of several layers is the last one's; adapters are their reader's.
    """
    found: dict[str, dict[str, Any]] = {}
    waiting: list[Stage] = []
    for stage in stages:
        waiting.append(stage)
        if stage.layers:
            entry = found.setdefault(stage.layers[-1], {"instances": [], "modules": []})
            entry["instances"] += [item.name for item in waiting]
            entry["modules"] += [f"{top}_{item.name}" for item in waiting]
            entry["cost"] = _summed([entry.get("cost", {}), _total(waiting)])
            waiting = []
    if waiting and found:
        last = list(found.values())[-1]
        last["instances"] += [item.name for item in waiting]
        last["modules"] += [f"{top}_{item.name}" for item in waiting]
    return found


def _total(stages: list[Stage]) -> dict[str, float]:
    return _summed([stage.cost() for stage in stages])


def _summed(costs: list[dict[str, float]]) -> dict[str, float]:
    keys = ("lut", "ff", "dsp", "bram_18k", "ram_bits", "rom_bits")
    return {key: round(sum(cost.get(key, 0.0) for cost in costs), 1) for key in keys}


def _softmax(network: Network) -> str | None:
    """The final softmax, which the host computes."""
    if network.logits is None:
        return None
    readers = network.consumers[network.logits]
    return next((layer.name for layer in readers if layer.kind == "softmax"), None)


def _notes(chosen: dict[str, reuse.Choice], planner: Planner, network: Network) -> list[str]:
    found = []
    if softmax := _softmax(network):
        found.append(f"'{softmax}' (softmax) is left to the host; the logits come out")
    if not planner.own_input:
        assert planner.input_kind is not None
        kind = type_text(planner.input_kind)
        found.append(f"the input is taken as {kind}, which the model does not round")
    if planner.inexact:
        names = ", ".join(sorted(set(planner.inexact)))
        found.append(f"computed otherwise than in the model: {names}")
    found.append("a stream design is Verilog only: VHDL is written for the parallel styles")
    return found + [
        f"layer '{name}': reuse factor {choice.asked} cannot be built; {choice.factor} is used"
        for name, choice in chosen.items()
        if choice.asked is not None and choice.asked != choice.factor
    ]
