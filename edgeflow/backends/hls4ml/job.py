"""The hls4ml jobs: a Network into an HLS project and its C simulation; running that.

The compile job's output folder:
    ``project/NAME``: the HLS project, complete without edgeflow (`project_job`).
    ``simulation``: ``simulate``, the same C++ with tracing as a program, its ``weights``, and
    ``layers.json`` (``sizes``: elements by HLS layer; ``place``: HLS layer by Network layer;
    ``logits``: the HLS layer that makes what the final softmax reads; what the tolerance is made
    of). Where the C++ cannot be compiled, ``layers.json`` alone, with ``unsimulated``: why.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.cxx_job import find_compiler
from edgeflow.backends.fixed_job import parse
from edgeflow.backends.hls4ml import convert_job, csim_job, fifos_job, project_job
from edgeflow.backends.hls4ml.compilers import COMPILERS
from edgeflow.backends.hls4ml.draw_job import draw
from edgeflow.backends.hls4ml.plan_job import Plan
from edgeflow.estimate import hls_digits
from edgeflow.network import Network

SAME_VALUES = ("flatten", "reshape", "identity")
"""Layers whose output is their input's, in the same order."""


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Write the HLS project and build its C simulation.

    ``inputs``: ``network`` (JSON), ``weights`` (npz), maybe ``golden`` (folder). ``params``:
    ``name`` (a C identifier), ``part``, ``clock_ns``, ``compiler``, ``io``, ``bits``,
    ``precision``,
    ``table_size``, ``layers`` (by Network layer: types by role, ``strategy``, ``reuse_factor``),
    ``axi`` (of a ``vivado_accelerator``), ``fifo_depth`` (words, ``optimize`` or None) and
    ``latencies`` (cycles by Network layer, where that is ``optimize``).

    Returns:
        ``project`` (path in `output`), ``types`` by HLS layer, ``result_type`` of the output,
        ``input_type`` (what an input is rounded to on the way in), ``inexact`` (what is rounded
        more than the model rounds it), ``reuse_factors``, ``fifo_depths`` (`fifos_job.measure`),
        ``version`` of hls4ml, ``notes``.

    Raises:
        ToolError: there is no C++ compiler, or it failed.
        JobError: hls4ml failed.
    """
    kind = COMPILERS[params["compiler"]]
    cxx = None if kind.unsimulated else find_compiler()
    progress(0, 4, "read the network")
    drawn = draw(inputs, params)
    network, golden, plan = drawn.network, drawn.golden, drawn.plan()
    progress(1, 4, "convert")
    model = convert_job.convert(network, plan, params)
    name = params["name"]
    fifos: dict[str, dict[str, Any]] = {}
    if params["fifo_depth"] == "optimize" and cxx is not None:
        latencies = {plan.place[k]: v for k, v in params["latencies"].items() if k in plan.place}
        fifos = fifos_job.measure(cxx, kind, model, name, latencies)
    convert_job.set_depths(model, plan, params, fifos)
    progress(2, 4, "write the project")
    convert_job.write(model, name, trace=False)
    project = output / "project" / name
    project.parent.mkdir(parents=True)
    shutil.move(name, project)
    graph = convert_job.graph_of(model)
    types, last = convert_job.types_used(model), plan.place[network.outputs[0]]
    result = {
        "project": f"project/{name}",
        "types": types,
        "input_type": _input_type(network, plan, params),
        "result_type": types.get(last, {}).get("result"),
        "inexact": sorted(set(plan.inexact)),
        "reuse_factors": _reuse_factors(plan, params, graph),
        "version": convert_job.version(),
        "compiler": params["compiler"],
        "unsimulated": kind.unsimulated,
        "digits": _digits(plan),
        "fifo_depths": fifos,
    }
    result["notes"] = _notes(result)
    result["scale"] = float(np.abs(golden["y"]).max(initial=0)) if "y" in golden else 1.0
    entering = golden.get("logits")
    result["logits_scale"] = float(np.abs(entering).max(initial=0)) if entering is not None else 0.0
    progress(3, 4, "build the C simulation")
    folder = output / "simulation"
    folder.mkdir()
    record = _record(network, plan, graph, params, result)
    (folder / "layers.json").write_text(json.dumps(record, indent=1) + "\n")
    if cxx is not None:
        convert_job.write(model, "simulation", trace=True)
        built = csim_job.build(cxx, kind, name, Path("simulation"))
        shutil.copy(built, folder / csim_job.PROGRAM)
        (folder / "weights").mkdir()
        for path in sorted(Path("simulation/firmware/weights").glob("*.txt")):
            shutil.copyfile(path, folder / "weights" / path.name)
    macs = sum(layer.macs for layer in network)
    x = project_job.bench_inputs(golden, result["input_type"], macs)
    simulated = None
    if cxx is not None and len(x):
        size = math.prod(golden["y"].shape[1:])
        simulated, _ = csim_job.run(folder, x, size)
    project_job.finish(project, params, result, golden, x, simulated)
    progress(4, 4)
    return result


def _digits(plan: Plan) -> dict[str, list[float]]:
    """The digits of each product's weights (`hls_digits.Digits`), by Network layer."""
    found = {}
    by_name = {item.name: item for item in plan.layers}
    for layer, name in plan.place.items():
        kernel = by_name[name].attributes.get("weight_data") if name in by_name else None
        kind = by_name[name].types.get("weight") if name in by_name else None
        if kernel is not None and kind is not None and np.ndim(kernel) >= 2:
            counts = hls_digits.of_array(kernel, kind.fraction)
            found[layer] = [float(value) for value in astuple(counts)[:-1]]
    return found


def _input_type(network: Network, plan: Plan, params: dict[str, Any]) -> str:
    """What an input is rounded to: the type of the design's input port, or the bus before it."""
    place = plan.place[network.inputs[0]]
    found = next(item.result for item in plan.layers if item.name == place)
    bus = params["axi"]["input_type"] if params["compiler"] == "vivado_accelerator" else "float"
    if bus != "float" and parse(bus).fraction < found.fraction:
        return bus
    return str(found)


def _logits(network: Network, plan: Plan, graph: dict[str, dict[str, Any]]) -> str | None:
    """The HLS layer that makes what the model's final softmax reads; None without one."""
    last = network[network.outputs[0]]
    while last.kind in SAME_VALUES and last.inputs:
        last = network[last.inputs[0]]
    if last.kind != "softmax":
        return None
    layer = network[last.inputs[0]]
    while plan.place[layer.name] not in graph and layer.kind in SAME_VALUES:
        layer = network[layer.inputs[0]]
    found = plan.place[layer.name]
    return found if found in graph and layer.name not in plan.hidden else None


def _reuse_factors(
    plan: Plan, params: dict[str, Any], graph: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    found = {}
    for name, own in params["layers"].items():
        used = graph.get(plan.place.get(name, ""), {})
        if "reuse_factor" in own and used:
            found[name] = {
                "asked": own.get("asked", own["reuse_factor"]),
                "used": int(used["reuse_factor"]),
                "strategy": used["strategy"],
            }
    return found


def _notes(result: dict[str, Any]) -> list[str]:
    found = [
        f"layer '{name}': reuse factor {item['asked']} is not one that hls4ml can build; "
        f"{item['used']} is used"
        for name, item in result["reuse_factors"].items()
        if item["asked"] != item["used"]
    ]
    if result["unsimulated"]:
        found.append(f"not verified, there is no C simulation: {result['unsimulated']}")
    return found


def _record(
    network: Network,
    plan: Plan,
    graph: dict[str, dict[str, Any]],
    params: dict[str, Any],
    result: dict[str, Any],
) -> dict[str, Any]:
    return {
        "name": params["name"],
        **{key: params[key] for key in ("bits", "table_size", "compiler", "softmax")},
        **{key: result[key] for key in ("version", "inexact", "unsimulated")},
        **{key: result[key] for key in ("scale", "logits_scale")},
        "result_type": result["result_type"],
        "sizes": {layer: item["size"] for layer, item in graph.items()},
        "place": {name: at for name, at in plan.place.items() if name not in plan.hidden},
        "logits": _logits(network, plan, graph),
    }


def simulate(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run the compiled C++ on the golden inputs.

    ``inputs``: ``compiled`` (the compile job's output), ``golden`` (folder). ``params``:
    ``trace`` (how many inputs to trace), ``compiler``.
    Writes ``outputs.npz`` (``y``, float32; ``logits`` of every input where a softmax comes last)
    and ``trace.npz`` (by Network layer).
    """
    folder = inputs["compiled"] / "simulation"
    record = json.loads((folder / "layers.json").read_text())
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x, shape = golden["x"], golden["y"].shape
    sizes = record["sizes"]
    size = int(np.prod(shape[1:]))
    logits = record["logits"]
    _, traced = csim_job.run(folder, x[: params["trace"]], size, sizes)
    wanted = {logits: sizes[logits]} if logits else {}
    y, found = csim_job.run(folder, x, size, wanted, progress)
    arrays: dict[str, Any] = {"y": y.reshape(len(x), *shape[1:])}
    if logits:
        arrays["logits"] = found[logits].reshape(arrays["y"].shape)
    np.savez(output / "outputs.npz", **arrays)
    trace: dict[str, Any] = {
        name: traced[place] for name, place in record["place"].items() if place in traced
    }
    np.savez(output / "trace.npz", **trace)
    return {
        "runtime": "hls4ml C simulation",
        "version": params["version"],
        "resolver": params["compiler"],
        "inputs": len(x),
    }
