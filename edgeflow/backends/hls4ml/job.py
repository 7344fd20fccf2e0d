"""The hls4ml jobs: a Network into an HLS project and its C simulation; running that.

The compile job's output folder:
    ``project/NAME``: the HLS project, complete without edgeflow (`project_job`).
    ``simulation``: ``model.so``, the same C++ with tracing, its ``weights``, and ``layers.json``
    (``sizes``: elements by HLS layer; ``place``: HLS layer by Network layer; what the tolerance
    is made of).
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array, parse
from edgeflow.backends.hls4ml import project_job
from edgeflow.backends.hls4ml.layers_job import Translator
from edgeflow.backends.hls4ml.plan_job import Emitted, Plan, Types
from edgeflow.errors import JobError, ToolError
from edgeflow.network import Network

SIGN = 2
"""hls4ml's number for a quantiser to -1 and 1."""
COMPILERS = {"vivado": "Vivado", "vitis": "Vitis"}
TABLES = ("table", "exp_table", "inv_table", "inv_inp")
STRATEGIC = ("Dense", "Conv1D", "Conv2D", "LSTM", "GRU")
"""hls4ml's classes that take a strategy and a reuse factor of their own."""


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
    ``table_size``, ``layers`` (by Network layer: types by role, ``strategy``, ``reuse_factor``).

    Returns:
        ``project`` (path in `output`), ``types`` by HLS layer, ``inexact`` (what is rounded more
        than the model rounds it), ``reuse_factors``, ``version`` of hls4ml, ``notes``.

    Raises:
        ToolError: there is no C++ compiler, or it failed.
        JobError: hls4ml failed.
    """
    compiler = find_compiler()
    progress(0, 4, "read the network")
    network = Network.load(inputs["network"])
    weights = dict(np.load(inputs["weights"], allow_pickle=False))
    golden = _golden(inputs.get("golden"))
    plan = Translator(network, weights, golden.get("x"), _types(params, golden, network)).run()
    progress(1, 4, "convert")
    model = _convert(network, plan, params)
    name = params["name"]
    progress(2, 4, "write the project")
    _write(model, name, trace=False)
    project = output / "project" / name
    project.parent.mkdir(parents=True)
    shutil.move(name, project)
    _write(model, "simulation", trace=True)
    graph = _graph(model)
    result = {
        "project": f"project/{name}",
        "types": _types_used(model),
        "inexact": sorted(set(plan.inexact)),
        "reuse_factors": _reuse_factors(plan, params, graph),
        "version": _version(),
        "compiler": params["compiler"],
    }
    result["notes"] = _notes(result)
    result["scale"] = float(np.abs(golden["y"]).max(initial=0)) if "y" in golden else 1.0
    project_job.finish(project, params, result, golden)
    progress(3, 4, "build the C simulation")
    _build(compiler, name, Path("simulation"))
    _keep_simulation(output / "simulation", network, plan, graph, params, result)
    progress(4, 4)
    return result


def find_compiler() -> str:
    """The C++ compiler.

    Raises:
        ToolError: there is none.
    """
    wanted = os.environ.get("CXX") or "g++"
    found = shutil.which(wanted)
    if found is None:
        raise ToolError(
            f"no C++ compiler: expected '{wanted}' on PATH",
            remedy="install it (Debian, Ubuntu: apt install g++), or set CXX",
        )
    return found


def _golden(folder: Path | None) -> dict[str, Array]:
    if folder is None:
        return {}
    found = dict(np.load(folder / "golden.npz", allow_pickle=False))
    trace = folder / "trace.npz"
    if trace.is_file():
        arrays = np.load(trace, allow_pickle=False)
        found |= {f"trace/{name}": arrays[name] for name in arrays.files}
    return found


def _types(params: dict[str, Any], golden: dict[str, Array], network: Network) -> Types:
    ranges = {}
    for key, values in golden.items():
        if key.startswith("trace/") and values.size and np.isfinite(values).all():
            # Few inputs are traced (8, say): leave room for several times what they reach.
            room = 4 if len(values) < 100 else 2
            low, high = float(values.min()), float(values.max())
            ranges[key.removeprefix("trace/")] = (room * min(low, 0), room * max(high, 0))
    for layer in network:
        # A framework that fuses a ReLU shows only what comes out of it. What goes in may saturate
        # below: all that is negative becomes 0.
        after = network.consumers.get(layer.name, ())
        if (
            layer.name not in ranges
            and after
            and all(user.kind == "relu" and user.name in ranges for user in after)
        ):
            high = max(ranges[user.name][1] for user in after)
            ranges[layer.name] = (-high, high)
    default = None if params["precision"] == "auto" else parse(params["precision"])
    return Types(params["bits"], default, params["layers"], ranges, params["table_size"])


def _convert(network: Network, plan: Plan, params: dict[str, Any]) -> Any:
    import hls4ml
    import yaml
    from hls4ml.backends.fpga.fpga_layers import BatchNormalizationQuantizedTanh
    from hls4ml.backends.vivado.passes.bn_quant import MergeBatchNormAndQuantizedTanh
    from hls4ml.model import ModelGraph
    from hls4ml.model.optimizer.passes.stamp import MakeStamp
    from hls4ml.utils.config import create_config
    from hls4ml.writer.vivado_writer import VivadoWriter

    def fixed_stamp(_: Any, model: Any) -> bool:
        model.config.config["Stamp"] = "edgeflow"  # the files must not differ from run to run
        return False

    def write_yml(_: Any, model: Any) -> None:
        """As hls4ml's own, which imports Keras (seconds) to look for a Keras model."""
        text = yaml.safe_dump(_plain(model.config.config), sort_keys=True)
        Path(model.config.get_output_dir(), "hls4ml_config.yml").write_text(text)

    def set_thresholds(
        node: Any, scale: Array, bias: Array, ternary_threshold: float = 0.5
    ) -> None:
        """A batch norm and the sign after it: x > t. hls4ml 1.3.0 tests x >= floor(t)."""
        given_thresholds(node, scale, bias, ternary_threshold)
        if node.get_attr("quantize") == SIGN:
            found = node.weights["threshold"]
            found.data = found.data + 2.0**-found.type.precision.fractional

    def positive(merge: Any, node: Any) -> bool:
        """A negative scale turns the comparison round, which hls4ml does not."""
        if not given_match(merge, node):
            return False
        return bool((node.get_input_node().get_weights("scale").data > 0).all())

    given_match = MergeBatchNormAndQuantizedTanh.match
    given_thresholds = BatchNormalizationQuantizedTanh.set_thresholds
    MergeBatchNormAndQuantizedTanh.match = positive
    BatchNormalizationQuantizedTanh.set_thresholds = set_thresholds
    MakeStamp.transform = fixed_stamp
    VivadoWriter.write_yml = write_yml
    config = create_config(
        output_dir=params["name"],  # relative: no path of this machine in the project
        project_name=params["name"],
        backend=COMPILERS[params["compiler"]],
        part=params["part"],
        clock_period=params["clock_ns"],
        io_type=f"io_{params['io']}",
        write_tar=False,
    )
    config["HLSConfig"] = {
        "Model": {
            "Precision": {"default": "fixed<16,6>"},
            "ReuseFactor": 1,
            "Strategy": "Latency",
            "BitExact": False,
            "TraceOutput": False,
        },
        "LayerName": {item.name: _layer_config(item, plan, params) for item in plan.layers},
    }
    config["InputData"] = config["OutputPredictions"] = None
    layers = [dict(item.attributes) for item in plan.layers]
    ends = [plan.place[name] for name in network.inputs], [plan.place[n] for n in network.outputs]
    try:
        return ModelGraph.from_layer_list(config, layers, *ends)
    except (Exception, SystemExit) as error:
        raise JobError(
            f"hls4ml {hls4ml.__version__} cannot convert the network: {error}"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _layer_config(item: Emitted, plan: Plan, params: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Precision": {role: str(kind) for role, kind in item.types.items()},
        "Trace": True,
    }
    # hls4ml gives these types a default of its own, which "Precision" does not override.
    found |= {f"{role}_t": str(item.types[role]) for role in TABLES if role in item.types}
    owner = next((n for n in params["layers"] if plan.place.get(n) == item.name), "")
    own = params["layers"].get(owner, {})
    if item.attributes["class_name"] in STRATEGIC:
        found["Strategy"] = own.get("strategy", "latency").capitalize()
        found["ReuseFactor"] = own.get("reuse_factor", 1)
    for key in ("table_size", "implementation"):
        if key in item.attributes:
            found[{"table_size": "TableSize", "implementation": "Implementation"}[key]] = (
                item.attributes[key]
            )
    return found


def _write(model: Any, folder: str, trace: bool) -> None:
    model.config.config["OutputDir"] = folder
    model.config.trace_output = trace
    model.write()


def _graph(model: Any) -> dict[str, dict[str, Any]]:
    found = {}
    for layer in model.get_layers():
        if layer.get_attr("function_cpp", None) and layer.get_attr("trace", False):
            found[layer.name] = {
                "size": int(layer.get_output_variable().size()),
                "reuse_factor": layer.get_attr("reuse_factor"),
                "strategy": layer.get_attr("strategy"),
            }
    return found


def _types_used(model: Any) -> dict[str, dict[str, str]]:
    """The types as hls4ml has them in the end, by HLS layer and role."""
    found = {}
    for layer in model.get_layers():
        types = {
            key.removesuffix("_t"): str(kind.precision)
            for key, kind in layer.types.items()
            if hasattr(kind, "precision")
        }
        found[layer.name] = {"result": str(layer.get_output_variable().type.precision)} | {
            role: text
            for role, text in types.items()
            if role in ("weight", "bias", "accum", "scale", "table", "exp_table", "inv_table")
        }
    return found


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
    return [
        f"layer '{name}': reuse factor {item['asked']} is not one that hls4ml can build; "
        f"{item['used']} is used"
        for name, item in result["reuse_factors"].items()
        if item["asked"] != item["used"]
    ]


def _version() -> str:
    import hls4ml

    return str(hls4ml.__version__)


def _build(compiler: str, name: str, folder: Path) -> None:
    # One translation unit: the headers, most of the work, are read once.
    (folder / "all.cpp").write_text(
        f'#include "firmware/{name}.cpp"\n#include "{name}_bridge.cpp"\n'
    )
    command = [
        compiler, "-O2", "-fPIC", "-shared", "-std=c++17", "-w", "-fno-gnu-unique",
        "-Ifirmware/ap_types", "all.cpp", "-o", "model.so",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout, done.stderr)
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise ToolError(
            "the C++ compiler refused the project's sources",
            details=errors[:5],
            remedy="this is a fault of hls4ml's or edgeflow's; the job's log has all of it",
        )


def _keep_simulation(
    folder: Path,
    network: Network,
    plan: Plan,
    graph: dict[str, dict[str, Any]],
    params: dict[str, Any],
    result: dict[str, Any],
) -> None:
    folder.mkdir()
    shutil.copyfile("simulation/model.so", folder / "model.so")
    (folder / "weights").mkdir()
    for path in sorted(Path("simulation/firmware/weights").glob("*.txt")):
        shutil.copyfile(path, folder / "weights" / path.name)
    last = plan.place[network.outputs[0]]
    record = {
        "name": params["name"],
        **{key: params[key] for key in ("bits", "table_size", "compiler")},
        **{key: result[key] for key in ("version", "inexact", "scale")},
        "result_type": result["types"].get(last, {}).get("result"),
        "sizes": {layer: item["size"] for layer, item in graph.items()},
        "place": {name: at for name, at in plan.place.items() if name not in plan.hidden},
    }
    (folder / "layers.json").write_text(json.dumps(record, indent=1) + "\n")


class _Traced(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.c_void_p))


def simulate(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Run the compiled C++ on the golden inputs.

    ``inputs``: ``compiled`` (the compile job's output), ``golden`` (folder). ``params``:
    ``trace`` (how many inputs to trace), ``compiler``.
    Writes ``outputs.npz`` (``y``, float32) and ``trace.npz`` (by Network layer).
    """
    folder = inputs["compiled"] / "simulation"
    record = json.loads((folder / "layers.json").read_text())
    with np.load(inputs["golden"] / "golden.npz", allow_pickle=False) as golden:
        x = np.ascontiguousarray(golden["x"].reshape(len(golden["x"]), -1), dtype=np.float32)
        shape = golden["y"].shape
    size = int(np.prod(shape[1:]))
    os.chdir(folder)  # the library reads its weights from ./weights on the first call
    library = ctypes.CDLL(str(folder / "model.so"))
    top = getattr(library, f"{record['name']}_float")
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
    top.argtypes, top.restype = [pointer, pointer], None
    y = np.zeros((len(x), size), dtype=np.float32)
    trace: dict[str, Any] = _trace(library, top, record, x[: params["trace"]], size)
    step = max(1, len(x) // 20)
    for index in range(len(x)):
        top(x[index], y[index])
        if index % step == 0:
            progress(index, len(x), "C simulation")
    np.savez(output / "outputs.npz", y=y.reshape(len(x), *shape[1:]))
    np.savez(output / "trace.npz", **trace)
    return {
        "runtime": "hls4ml C simulation",
        "version": params["version"],
        "resolver": params["compiler"],
        "inputs": len(x),
    }


def _trace(
    library: ctypes.CDLL, top: Any, record: dict[str, Any], x: Array, size: int
) -> dict[str, Any]:
    """Every layer's output on some inputs, by Network layer."""
    sizes = record["sizes"]
    library.allocate_trace_storage.argtypes = [ctypes.c_size_t]
    library.allocate_trace_storage(ctypes.sizeof(ctypes.c_float))
    slots = (_Traced * len(sizes))()
    found: dict[str, list[Array]] = {name: [] for name in sizes}
    y = np.zeros(size, dtype=np.float32)
    for row in x:
        top(row, y)
        library.collect_trace_output(slots)
        for slot in slots:
            name = slot.name.decode()
            data = ctypes.cast(slot.data, ctypes.POINTER(ctypes.c_float))
            found[name].append(np.ctypeslib.as_array(data, shape=(sizes[name],)).copy())
    library.free_trace_storage()
    return {
        name: np.asarray(found[place], dtype=np.float32)
        for name, place in record["place"].items()
        if found.get(place)
    }
