"""From the plan to hls4ml's own graph, and from that to files; what of hls4ml is put right."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeflow.backends.fixed_job import Array, parse
from edgeflow.backends.hls4ml.compilers import COMPILERS
from edgeflow.backends.hls4ml.plan_job import Emitted, Plan
from edgeflow.errors import JobError
from edgeflow.network import Network

SIGN = 2
"""hls4ml's number for a quantiser to -1 and 1."""
TABLES = ("table", "exp_table", "inv_table", "inv_inp")
STRATEGIC = ("Dense", "Conv1D", "Conv2D", "LSTM", "GRU")
"""hls4ml's classes that take a strategy and a reuse factor of their own."""
STRATEGIES = {
    "latency": "Latency",
    "resource": "Resource",
    "resource_unrolled": "ResourceUnrolled",
    "distributed_arithmetic": "distributed_arithmetic",
}


def convert(network: Network, plan: Plan, params: Mapping[str, Any]) -> Any:
    """hls4ml's graph of the plan, with every type decided.

    Raises:
        JobError: hls4ml failed.
    """
    import hls4ml
    from hls4ml.model import ModelGraph
    from hls4ml.utils.config import create_config

    _put_right()
    config = create_config(
        output_dir=params["name"],  # relative: no path of this machine in the project
        project_name=params["name"],
        backend=COMPILERS[params["compiler"]].backend,
        **_backend_options(params),
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


def is_fifo(variable: Any) -> bool:
    """Whether a variable of hls4ml's is a FIFO with a depth."""
    pragma = getattr(variable, "pragma", None)
    return isinstance(pragma, tuple) and pragma[0] == "stream"


def set_depths(
    model: Any, plan: Plan, params: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]
) -> None:
    """The FIFOs behind layers, as deep as the user wants, or as was `found` by name; hls4ml's own
    hold a whole tensor."""
    own = {
        plan.place[name]: given["fifo_depth"]
        for name, given in params["layers"].items()
        if given.get("fifo_depth") and name in plan.place
    }
    for layer in model.get_layers():
        for variable in layer.get_variables():
            common = params["fifo_depth"]
            if common == "optimize":
                common = found.get(variable.name, {}).get("depth")
            depth = own.get(layer.name, common)
            if depth and is_fifo(variable):
                variable.pragma = ("stream", depth)


def write(model: Any, folder: str, trace: bool) -> None:
    """Write the project; with `trace`, its C++ can record every layer's output."""
    model.config.config["OutputDir"] = folder
    # hls4ml's writer for Quartus records the last layer's stream in the place of each.
    by_hand = trace and model.config.backend.name == "Quartus"
    model.config.trace_output = trace and not by_hand
    model.write()
    if by_hand:
        _record_streams(model, Path(folder, "firmware", f"{model.config.get_project_name()}.cpp"))
    for name, kind in (("exp_table", "exp_table_t"), ("invert_table", "inv_table_t")):
        for table in Path(folder).rglob(f"{name}.tb"):  # 8 bits after the point, whatever is given
            text = table.read_text().replace("CONFIG_T::table_t", f"CONFIG_T::{kind}")
            table.write_text(text)
    for cache in sorted(Path(folder).rglob("__pycache__")):  # copied out of hls4ml's wheel
        shutil.rmtree(cache)
    here = f"{Path(folder).resolve()}/"
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in (".cpp", ".tcl", ".sh") and here in (text := path.read_text()):
            path.write_text(text.replace(here, ""))


def _record_streams(model: Any, path: Path) -> None:
    text = path.read_text()
    for layer in model.get_layers():
        call = layer.get_attr("function_cpp", None)
        if call and layer.get_attr("trace", False):
            found = layer.get_output_variable()
            text = text.replace(
                f"    {call}\n",
                f"    {call}\n    nnet::save_layer_output<{found.type.name}>"
                f'({found.name}, "{layer.name}", {found.size_cpp()});\n',
                1,
            )
    path.write_text(text)


def _backend_options(params: Mapping[str, Any]) -> dict[str, Any]:
    found = {"clock_period": params["clock_ns"], "io_type": f"io_{params['io']}"}
    compiler = params["compiler"]
    if compiler == "vivado_accelerator":
        axi = params["axi"]
        found |= {key: axi[key] for key in ("board", "interface")}
        found |= {key: _bus_type(axi[key]) for key in ("input_type", "output_type")}
        found["part"] = None  # the board's
        if axi["platform"]:
            found["platform"] = axi["platform"]
        return found
    found["part"] = params["part"]
    if compiler == "libero":
        found["smarthls_path"] = "SmartHLS"  # looked for on PATH otherwise; nothing here uses it
    if compiler in ("vitis", "vivado", "quartus", "oneapi"):
        found["write_tar"] = False
    return found


def _bus_type(text: str) -> str:
    """A type on the AXI bus: whole bytes."""
    if text == "float":
        return text
    kind = parse(text)
    return str(replace(kind, width=-(-kind.width // 8) * 8))


def _layer_config(item: Emitted, plan: Plan, params: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Precision": {role: str(kind) for role, kind in item.types.items()},
        "Trace": True,
    }
    # hls4ml gives these types a default of its own, which "Precision" does not override.
    found |= {f"{role}_t": str(item.types[role]) for role in TABLES if role in item.types}
    owner = next((n for n in params["layers"] if plan.place.get(n) == item.name), "")
    own = params["layers"].get(owner, {})
    if item.attributes["class_name"] in STRATEGIC:
        strategy = own.get("strategy", "latency")
        plain_words = params["compiler"] == "libero"  # it compares without turning words
        found["Strategy"] = strategy if plain_words else STRATEGIES[strategy]
        found["ReuseFactor"] = own.get("reuse_factor", 1)
    for key in ("table_size", "implementation"):
        if key in item.attributes:
            found[{"table_size": "TableSize", "implementation": "Implementation"}[key]] = (
                item.attributes[key]
            )
    return found


def _put_right() -> None:
    """Faults of hls4ml 1.3.0, and what it writes that differs from run to run."""
    import hls4ml
    import yaml
    from hls4ml.backends import VivadoAcceleratorConfig
    from hls4ml.backends.fpga.fpga_layers import BatchNormalizationQuantizedTanh
    from hls4ml.backends.vivado.passes.bn_quant import MergeBatchNormAndQuantizedTanh
    from hls4ml.model.layers import Dense
    from hls4ml.model.optimizer.passes.stamp import MakeStamp
    from hls4ml.writer.catapult_writer import CatapultWriter
    from hls4ml.writer.libero_writer import LiberoWriter
    from hls4ml.writer.oneapi_writer import OneAPIWriter
    from hls4ml.writer.quartus_writer import QuartusWriter
    from hls4ml.writer.vivado_accelerator_writer import VivadoAcceleratorWriter
    from hls4ml.writer.vivado_writer import VivadoWriter

    def fixed_stamp(_: Any, model: Any) -> bool:
        model.config.config["Stamp"] = "edgeflow"  # the files must not differ from run to run
        return False

    def write_yml(_: Any, model: Any) -> None:
        """As hls4ml's own, which imports Keras (seconds) to look for a Keras model."""
        text = yaml.safe_dump(plain(model.config.config), sort_keys=True)
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
    for writer in (VivadoWriter, QuartusWriter, CatapultWriter, OneAPIWriter, LiberoWriter):
        writer.write_yml = write_yml
    # An archive beside the project, with the time of day in it.
    VivadoAcceleratorWriter.write_new_tar = lambda *_: None
    # Types written into the C++ without their ap_.
    VivadoAcceleratorConfig._next_factor8_type = lambda _, kind: _bus_type(str(kind))
    LiberoWriter.write_build_script = _write_libero_script
    for attribute in hls4ml.backends.get_backend("Libero").attribute_map[Dense]:
        if attribute.name == "strategy":
            attribute.value_type = str  # hls4ml 1.3.0 refuses every value of a choice


def _write_libero_script(_: Any, model: Any) -> None:
    """SmartHLS's own files; hls4ml 1.3.0's wheel lacks the template of a third, for its library."""
    config, folder = model.config, Path(model.config.get_output_dir())
    value = config.get_config_value
    name = config.get_project_name()
    (folder / "config.tcl").write_text(
        "source $env(SHLS_ROOT_DIR)/examples/legup.tcl\n"
        f"set_project {value('FPGAFamily')} {value('Part')} {value('Board')}\n"
        f"set_parameter CLOCK_PERIOD {value('ClockPeriod'):g}\n"
    )
    (folder / "Makefile").write_text(
        f"NAME = {name}\nLOCAL_CONFIG = -legup-config=config.tcl\n"
        f"SRCS = firmware/{name}.cpp {name}_test.cpp\nLEVEL = $(SHLS_ROOT_DIR)/examples\n"
        "include $(LEVEL)/Makefile.common\n"
    )


def plain(value: Any) -> Any:
    """The same as data that YAML and JSON can hold."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def graph_of(model: Any) -> dict[str, dict[str, Any]]:
    """What the C++ can trace: size, reuse factor and strategy, by HLS layer."""
    found = {}
    for layer in model.get_layers():
        if layer.get_attr("function_cpp", None) and layer.get_attr("trace", False):
            found[layer.name] = {
                "size": int(layer.get_output_variable().size()),
                "reuse_factor": layer.get_attr("reuse_factor"),
                "strategy": layer.get_attr("strategy"),
            }
    return found


def types_used(model: Any) -> dict[str, dict[str, str]]:
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


def version() -> str:
    """hls4ml's."""
    import hls4ml

    return str(hls4ml.__version__)
