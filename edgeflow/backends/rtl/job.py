"""The RTL compile job: a quantised Network into a folder of Verilog and VHDL."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from da4ml.codegen.rtl import verilog as verilog_codegen
from da4ml.codegen.rtl import vhdl as vhdl_codegen
from da4ml.trace.fixed_variable import HWConfig
from da4ml.trace.pipeline import to_pipeline
from da4ml.types import CombLogic, Pipeline, minimal_kif

from edgeflow.backends.rtl import bench_job, tables_job
from edgeflow.backends.rtl.arithmetic_job import Solver
from edgeflow.backends.rtl.layers_job import Context
from edgeflow.backends.rtl.quantize_job import Grid
from edgeflow.backends.rtl.trace_job import (
    TooWideError,
    Traced,
    entry_grid,
    grid_from_type,
    input_type_of,
    trace,
)
from edgeflow.errors import JobError, ModelError
from edgeflow.network import Network

Array = np.ndarray[Any, Any]
FORMAT = "edgeflow.design/1"
CONFIRMED = 200
"""Random inputs on which a pipeline is compared with its graph."""
GRAPH = "adder_graph.json"
"""The adder graph in da4ml's own format."""


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Write the design folder: ``design.json``, ``verilog/``, ``vhdl/``, ``testbench/``, README.

    ``inputs``: ``network`` (JSON), ``weights`` (npz), maybe ``golden`` (folder). ``params``:
    ``name`` (of the top module), ``levels`` (adders between registers; 0: combinational),
    ``latency_cycles`` (wanted; overrides ``levels``; None), ``input_bits``, ``input_type``,
    ``table_bits``, ``solver`` (da4ml's options).

    Returns:
        ``design``'s main figures: ``style``, ``latency_cycles``, ``ii``, ``cost``, ``layers``,
        ``levels`` (depth in adders), ``input_type``, ``inexact``, ``notes``, ``version``.

    Raises:
        ModelError: a weight is NaN or infinite.
    """
    progress(0, 4, "read the network")
    network = Network.load(inputs["network"])
    weights = read_weights(inputs["weights"])
    x, y = golden_vectors(inputs.get("golden"))
    progress(1, 4, "adder graph")
    traced = build(network, weights, params, x)
    progress(2, 4, "write the sources")
    made = pipelined(traced.comb, params)
    confirm(made, traced.comb)
    design = write(made, traced, params, output)
    traced.comb.save(output / GRAPH)
    progress(3, 4, "write the test bench")
    bench_job.write(output, design, expected(traced, design, x))
    result = {
        key: design[key]
        for key in ("style", "latency_cycles", "ii", "cost", "layers", "input_type", "levels")
    }
    result |= {
        "top": design["top"],
        "inexact": traced.inexact,
        "softmax": traced.skipped,
        "version": version(),
        "scale": float(np.abs(y).max(initial=0.0)) if y is not None else 1.0,
        "notes": notes(traced, design, params.get("latency_cycles")),
    }
    (output / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    progress(4, 4)
    return result


def interpret(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],  # noqa: ARG001 - every job takes it
) -> dict[str, Any]:
    """Run the adder graph in da4ml's interpreter on the golden inputs; as `verilator_job`."""
    design = json.loads((inputs["compiled"] / "design.json").read_text())
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = golden["x"]
        shape = golden["logits" if "logits" in golden.files else "y"].shape
    comb = CombLogic.load(inputs["compiled"] / GRAPH)
    values = bench_job.to_values(
        bench_job.to_integers(x, design["input"]), design["input"]["elements"]
    )
    y = comb.predict(np.ascontiguousarray(values), n_threads=1)
    bench_job.save(output, y.reshape(shape), bool(params["softmax"]))
    return {"runtime": "da4ml interpreter", "version": version(), "resolver": None}


def read_weights(path: Path) -> dict[str, Array]:
    """The model's arrays.

    Raises:
        ModelError: an element is NaN or infinite; every such array is named.
    """
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    bad = [name for name, values in found.items() if not np.isfinite(values).all()]
    if bad:
        raise ModelError(
            "weights that are NaN or infinite cannot become hardware",
            details=[
                f"layer '{name.rpartition('/')[0]}': {name.rpartition('/')[2]}" for name in bad
            ],
            remedy="train the model again, or repair these arrays",
        )
    return found


def golden_vectors(folder: Path | None) -> tuple[Array | None, Array | None]:
    """The golden inputs and outputs, None where there are none."""
    if folder is None:
        return None, None
    with np.load(folder / "golden.npz", allow_pickle=False) as arrays:
        return np.asarray(arrays["x"]), np.asarray(arrays["y"])


def opened(inputs: Mapping[str, Path], params: Mapping[str, Any]) -> tuple[Network, Context, Grid]:
    """The Network, its weights and its input's grid, for designs that ours is compared with."""
    network = Network.load(inputs["network"])
    context = Context(read_weights(inputs["weights"]))
    grid, _ = entry_grid(network, context)
    if grid is None:
        x, _ = golden_vectors(inputs.get("golden"))
        kind = input_type_of(params.get("input_type"), params.get("input_bits"), x)
        grid = grid_from_type(kind)
    return network, context, grid


def build(
    network: Network,
    weights: Mapping[str, Array],
    params: Mapping[str, Any],
    x: Array | None,
    progress: Callable[..., None] = lambda *_: None,
) -> Traced:
    """Trace the Network with the job's parameters."""
    solver = Solver(params.get("solver"), HWConfig(1, -1, -1))
    table_bits = int(params.get("table_bits") or 12)

    def traced(shorten: bool) -> Traced:
        context = Context(weights, solver, table_bits, readers=network.consumers, shorten=shorten)
        kind = None
        if entry_grid(network, context)[0] is None:
            kind = input_type_of(params.get("input_type"), params.get("input_bits"), x)
        return trace(network, context, kind, progress)

    try:
        return traced(shorten=False)
    except TooWideError:
        return traced(shorten=True)


def expected(
    traced: Traced, design: Mapping[str, Any], x: Array | None
) -> tuple[Array, Array] | None:
    """Integers of golden inputs and of what da4ml's interpreter makes of them."""
    if x is None:
        return None
    integers = bench_job.to_integers(x[: bench_job.VECTORS], design["input"])
    values = bench_job.to_values(integers, design["input"]["elements"])
    y = traced.comb.predict(np.ascontiguousarray(values), n_threads=1)
    return integers, bench_job.to_integers(y, design["output"])


def pipelined(comb: CombLogic, params: Mapping[str, Any]) -> CombLogic | Pipeline:
    """The graph cut by registers, every ``levels`` adders or into ``latency_cycles`` cycles.

    A pipeline of n stages has n + 1 registers from input to output, which are its latency. Its
    stages are as even as can be: the fewest levels that give no more of them. (da4ml's own
    retiming traces the graph again, and was seen to change what it computes.)
    """
    wanted, levels = params.get("latency_cycles"), int(params.get("levels") or 0)
    deepest = max((comb.ops[i].latency for i in comb.out_idxs), default=0.0)
    if wanted == 0 or (wanted is None and not levels):
        return comb
    stages = max(int(wanted) - 1, 1) if wanted is not None else math.ceil(deepest / levels)
    cutoff = max(math.ceil(deepest / max(stages, 1)), 1)
    while True:
        made = to_pipeline(comb, float(cutoff), retiming=False, verbose=False)
        if len(made.solutions) <= stages or cutoff > deepest:
            break
        cutoff += 1
    # A stage without tables of its own has none at all (da4ml's interpreter minds).
    return Pipeline(
        tuple(s._replace(lookup_tables=s.lookup_tables or None) for s in made.solutions)
    )


def confirm(made: CombLogic | Pipeline, comb: CombLogic) -> None:
    """Run the cut graph beside the whole one.

    Raises:
        JobError: they differ, which would be a fault of da4ml's.
    """
    if not isinstance(made, Pipeline):
        return
    random = np.random.default_rng(0)
    x = np.stack(
        [
            q.min + q.step * random.integers(0, round((q.max - q.min) / q.step) + 1, CONFIRMED)
            for q in comb.inp_qint
        ],
        axis=1,
    )
    y = x
    for stage in made.solutions:
        y = stage.predict(np.ascontiguousarray(y), n_threads=1)
    if not np.array_equal(y, comb.predict(x, n_threads=1)):
        raise JobError(
            "the pipelined graph computes other values than the combinational one",
            remedy="`style: combinational` is right; this is a fault of da4ml's or edgeflow's",
        )


def write(
    made: CombLogic | Pipeline, traced: Traced, params: Mapping[str, Any], output: Path
) -> dict[str, Any]:
    """Write sources and ``design.json``; gives the latter."""
    name = params["name"]
    files: dict[str, list[str]] = {}
    for language, codegen, suffix in (
        ("verilog", verilog_codegen, "v"), ("vhdl", vhdl_codegen, "vhd"),
    ):  # fmt: skip
        folder = output / language
        folder.mkdir()
        if isinstance(made, Pipeline):
            texts = codegen.pipeline_logic_gen(made, name)
        else:
            texts = {name: codegen.comb_logic_gen(made, name)}
        texts, memories = tables_job.inline(texts, made, language)
        for stem, text in {**memories, **texts}.items():
            (folder / f"{stem}.{suffix}").write_text(text)
        source = Path(str(codegen.__file__)).parent / "source"
        for path in sorted(source.glob(f"*.{suffix}")):
            if path.stem in PRIMITIVES and any(path.stem in text for text in texts.values()):
                (folder / path.name).write_text(path.read_text())
        files[language] = sorted(f"{language}/{path.name}" for path in folder.iterdir())
        top = f"{language}/{name}.{suffix}"
        files[language] = [f for f in files[language] if f != top] + [top]
    pipeline = isinstance(made, Pipeline)
    stages = len(made.solutions) if isinstance(made, Pipeline) else 0
    registers = int(made.reg_bits) if isinstance(made, Pipeline) else 0
    comb = traced.comb
    deepest = max((comb.ops[i].latency for i in comb.out_idxs), default=0.0)
    design = {
        "format": FORMAT,
        "top": name,
        "style": "pipelined" if pipeline else "combinational",
        "files": files,
        "clock": "clk" if pipeline else None,
        "reset": None,
        "latency_cycles": stages + 1 if pipeline else 0,
        "ii": 1,
        "input": {**port("model_inp", made.inp_qint), **traced.input_modes},
        "output": port("model_out", made.out_qint),
        "handshake": False,
        "layers": {
            layer: {"cost": {"lut": round(cost, 1)}} for layer, cost in traced.costs.items()
        },
        "cost": {"lut": round(comb.cost, 1), "ff": registers, "dsp": 0, "bram_18k": 0},
        "levels": {"all": deepest, "stage": stage_levels(made)},
        "input_type": traced.input_type,
    }
    (output / "design.json").write_text(json.dumps(design, indent=1) + "\n")
    return design


PRIMITIVES = ("binop", "multiplier", "mux", "negative", "shift_adder")
"""da4ml's own modules; the table is ours (`tables_job`)."""


def stage_levels(made: CombLogic | Pipeline) -> float:
    """Adders between two registers, in the deepest stage (da4ml's latency)."""
    if isinstance(made, Pipeline):
        ends = [max(s.out_latency) for s in made.solutions]
        starts = [0.0, *ends[:-1]]
        return float(max(e - s for e, s in zip(ends, starts, strict=True)))
    return float(max(made.out_latency, default=0.0))


def port(name: str, ranges: Sequence[Any]) -> dict[str, Any]:
    """A port's bits by element."""
    elements, lsb = [], 0
    for interval in ranges:
        signed, integer, fraction = minimal_kif(interval)
        bits = int(signed) + integer + fraction
        elements.append(
            {"lsb": lsb, "bits": bits, "signed": bool(signed), "fraction": int(fraction)}
        )
        lsb += bits
    return {"port": name, "width": lsb, "beats": 1, "elements": elements}


def notes(traced: Traced, design: Mapping[str, Any], wanted: int | None = None) -> list[str]:
    """What the user should know."""
    found = []
    if wanted and design["latency_cycles"] > wanted:
        found.append(
            f"latency_cycles: {wanted} cannot be; {design['latency_cycles']} is the least "
            "(registers at the input and at the output)"
        )
    if traced.skipped:
        found.append(f"'{traced.skipped}' (softmax) is left to the host; the logits come out")
    if traced.input_type:
        found.append(f"the input is taken as {traced.input_type}, which the model does not round")
    if traced.inexact:
        found.append(f"computed otherwise than in the model: {', '.join(traced.inexact)}")
    if design["style"] == "pipelined":
        found.append(
            f"a result each clock cycle, {design['latency_cycles']} cycles after its input; at "
            f"most {design['levels']['stage']:g} adders between registers"
        )
    return found


def version() -> str:
    """da4ml's."""
    from importlib.metadata import version as of

    return of("da4ml")
