"""What TFLite's built-in operators take, as a table over the Network's kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeflow.backends import roomier
from edgeflow.backends.base import Limit, Problem
from edgeflow.estimate import mcu_memory
from edgeflow.network import Layer, Network
from edgeflow.targets import Target

FLOATS = frozenset(["float32", "float16", "dynamic"])
INTEGERS = frozenset(["int8", "16x8"])
ALL = FLOATS | INTEGERS
NOT_16X8 = ALL - {"16x8"}


STEPS = 256
"""Steps of a recurrent layer, at most: each becomes operators of its own."""


ELEMENTWISE = ("add", "sub", "mul", "div", "maximum", "minimum", "average")
ELEMENTWISE_RANK, RANK = 5, 7
"""Dimensions of a tensor, the batch counted, at most."""


@dataclass(frozen=True)
class Support:
    """How a kind of layer gets into a file: the TFLite operators and the precisions they have.

    ``instead`` is the remedy where the precision is not among them.
    """

    operators: tuple[str, ...]
    precisions: frozenset[str] = ALL
    instead: str = "choose precision float32, float16 or dynamic"


def _same(operators: str, kinds: str, precisions: frozenset[str] = ALL) -> dict[str, Support]:
    return {kind: Support(tuple(operators.split()), precisions) for kind in kinds.split()}


# Found by converting each kind alone at each precision with TensorFlow 2.21 and running the file in
# LiteRT 2.3 (tests/backends/tflite/test_kinds.py does int8 again). SUM and GRU convert to 16x8, but
# give wrong values; ELU, layer normalisation and an LSTM's SPLIT stay in float in an int8 file.
TABLE: Mapping[str, Support] = {
    **_same("", "input constant identity"),
    **_same("QUANTIZE DEQUANTIZE", "quantize dequantize"),
    **_same("FULLY_CONNECTED", "dense"),
    **_same("CONV_2D RESHAPE", "conv1d"),
    **_same("CONV_2D", "conv2d"),
    **_same("DEPTHWISE_CONV_2D", "depthwise_conv1d depthwise_conv2d"),
    **_same("TRANSPOSE_CONV", "conv1d_transpose conv2d_transpose"),
    **_same("MUL ADD", "batch_norm scale"),
    **_same("MEAN SQUARED_DIFFERENCE RSQRT MUL ADD", "layer_norm", FLOATS),
    **_same("MAX_POOL_2D", "max_pool1d max_pool2d"),
    **_same("AVERAGE_POOL_2D", "avg_pool1d avg_pool2d"),
    **_same("MEAN", "global_avg_pool1d global_avg_pool2d mean"),
    **_same("REDUCE_MAX", "global_max_pool1d global_max_pool2d max"),
    **_same("SUM", "sum", NOT_16X8),
    **_same("RESHAPE", "flatten reshape"),
    **_same("TRANSPOSE", "transpose"),
    **_same("PAD", "pad"),
    **_same("STRIDED_SLICE", "crop slice"),
    **_same("RESHAPE TILE RESIZE_BILINEAR", "upsample"),
    **_same("RESIZE_BILINEAR", "resize_bilinear"),
    **_same("CONCATENATION", "concat"),
    **_same("ADD", "add"),
    **_same("SUB", "sub"),
    **_same("MUL", "mul"),
    **_same("DIV", "div", NOT_16X8),
    **_same("MAXIMUM", "maximum"),
    **_same("MINIMUM", "minimum"),
    **_same("ADD MUL", "average"),
    **_same("BATCH_MATMUL", "matmul"),
    **_same("GATHER", "embedding", FLOATS),
    **_same("UNPACK FULLY_CONNECTED LOGISTIC TANH MUL ADD", "lstm", FLOATS),
    **_same("UNPACK FULLY_CONNECTED LOGISTIC TANH MUL ADD", "gru", NOT_16X8),
    **_same("UNPACK FULLY_CONNECTED TANH ADD", "simple_rnn"),
    **_same("RELU RELU6", "relu"),
    **_same("LEAKY_RELU", "leaky_relu"),
    **_same("PRELU", "prelu", NOT_16X8),
    **_same("ELU", "elu", FLOATS),
    **_same("GELU", "gelu"),
    **_same("LOGISTIC", "sigmoid"),
    **_same("TANH", "tanh"),
    **_same("SOFTMAX", "softmax"),
    **_same("LOG_SOFTMAX", "log_softmax", NOT_16X8),
    **_same("HARD_SWISH", "hard_silu", NOT_16X8),
    **_same("LOGISTIC MUL", "silu"),
    **_same("MUL ADD RELU MINIMUM", "hard_sigmoid"),
    **_same("RELU_N1_TO_1", "hard_tanh", NOT_16X8),
    **_same("EXP GREATER MUL SELECT SUB", "selu", NOT_16X8),
    **_same("EXP", "exponential"),
    **_same("EXP LOG ADD", "softplus"),
    **_same("ABS ADD DIV", "softsign", NOT_16X8),
    **_same("GREATER SELECT_V2", "thresholded_relu", NOT_16X8),
}

_MEMORY: Mapping[str, tuple[str, str]] = {
    "mcu": ("flash", "ram"),
    "npu": ("flash", "ram"),
    "linux_board": ("ram", "ram"),
}
"""Where the file and its activations lie, by the target's kind."""


def problems(network: Network, target: Target, precision: str) -> list[Problem]:
    """Everything that keeps this Network from a file of this precision on this target."""
    found = []
    for layer in network:
        for look in (_unknown, _precision, _broken):
            problem = look(layer, precision)
            if problem:
                found.append(problem)
                break
    if len(network.inputs) != 1 and precision in INTEGERS:
        found.append(
            Problem(
                None, f"the model has {len(network.inputs)} inputs: its ranges cannot be measured",
                "choose precision float32, float16 or dynamic, or export a part with one input",
            )
        )  # fmt: skip
    return found + memory(network, target, precision)


def custom(network: Network) -> list[Problem]:
    """The operators of a TFLite file that are no built-in ones."""
    return [
        Problem(
            layer.name, f"only its own hardware or library runs '{layer.attributes['type']}'",
            "give the .tflite from before the compiler for that hardware",
        )
        for layer in network
        if str(layer.attributes.get("type", "")).startswith("custom ")
    ]  # fmt: skip


def _unknown(layer: Layer, _: str) -> Problem | None:
    if layer.kind in TABLE:
        return None
    name = layer.attributes.get("type", layer.kind)
    return Problem(
        layer.name, f"TFLite has no operator for '{name}'",
        "replace it by layers that edgeflow knows (`edgeflow inspect` lists them)",
    )  # fmt: skip


def _precision(layer: Layer, precision: str) -> Problem | None:
    support = TABLE[layer.kind]
    if precision in support.precisions:
        return None
    return Problem(layer.name, f"'{layer.kind}' has no {precision} form in TFLite", support.instead)


def _broken(layer: Layer, precision: str) -> Problem | None:
    for rule in RULES:
        if precision in rule.precisions and (not rule.kinds or layer.kind in rule.kinds):
            what = rule.found(layer, precision)
            if what:
                return Problem(layer.name, what, rule.remedy)
    return None


@dataclass(frozen=True)
class Rule:
    """One limit beyond `TABLE`: of which kinds (empty: all), at which precisions.

    ``found`` gives what stands in the way in a layer at a precision, None where nothing does.
    """

    limit: str
    found: Callable[[Layer, str], str | None]
    remedy: str
    kinds: tuple[str, ...] = ()
    precisions: frozenset[str] = ALL


def _dynamic(layer: Layer, _: str) -> str | None:
    if None not in layer.output_shape:
        return None
    shape = ", ".join("?" if dim is None else str(dim) for dim in layer.output_shape)
    return f"its shape ({shape}) is not fixed"


def _rank(layer: Layer, _: str) -> str | None:
    elementwise = layer.kind in ELEMENTWISE
    most = ELEMENTWISE_RANK if elementwise else RANK
    rank = len(layer.output_shape) + 1
    if rank <= most:
        return None
    operator = "element-wise operators" if elementwise else "operators"
    return f"its output has {rank} dimensions, {operator} take {most}"


def _steps(layer: Layer, _: str) -> str | None:
    steps = layer.input_shapes[0][0] or 0
    return f"its {steps} steps are unrolled, at most {STEPS}" if steps > STEPS else None


def _strides_or_dilation(layer: Layer, _: str) -> str | None:
    if _largest(layer, "strides") > 1 and _largest(layer, "dilation_rate") > 1:
        return "strides and dilation above 1 at once are not defined in TensorFlow"
    return None


def _few_bits(layer: Layer, _: str) -> str | None:
    quantizer = layer.quantizer
    if quantizer is None or quantizer.bits >= 16:
        return None
    return f"16x8 does not round it to {quantizer.bits:g} bits as the model does"


def _levels(layer: Layer, _: str) -> str | None:
    quantizer = layer.quantizer
    if quantizer is None or quantizer.kind not in ("binary", "ternary", "po2"):
        return None
    return f"a {quantizer.kind} activation is no int8 tensor of one step"


RULES: tuple[Rule, ...] = (
    Rule("a fixed shape", _dynamic, "export the model with a fixed input shape"),
    Rule(
        f"outputs of at most {RANK} dimensions, {ELEMENTWISE_RANK} for element-wise operators",
        _rank, "reshape it first",
    ),
    Rule(
        f"at most {STEPS} steps, which are unrolled", _steps, "shorten the sequences",
        ("lstm", "gru", "simple_rnn"),
    ),
    Rule(
        "strides or dilation above 1, not both", _strides_or_dilation, "use one of the two",
        ("conv1d", "conv2d", "depthwise_conv1d", "depthwise_conv2d"),
    ),
    Rule(
        "activations that the model does not round to fewer than 16 bits", _few_bits,
        "choose precision int8, or float32", precisions=frozenset(["16x8"]),
    ),
    Rule(
        "activations of one step: not binary, ternary or powers of two", _levels,
        "choose precision float32, or the hls4ml backend", precisions=INTEGERS,
    ),
)  # fmt: skip
"""Every limit on shapes and attributes."""


def limits() -> list[Limit]:
    """`TABLE` and `RULES`, for people."""
    grouped: dict[Support, list[str]] = {}
    for kind, support in TABLE.items():
        grouped.setdefault(support, []).append(kind)
    found = [
        Limit(
            tuple(kinds),
            ("as " + ", ".join(support.operators)) if support.operators else "taken",
            support.instead if support.precisions != ALL else "",
            _only(support.precisions),
        )
        for support, kinds in grouped.items()
    ]
    return found + [
        Limit(rule.kinds, rule.limit, rule.remedy, _only(rule.precisions)) for rule in RULES
    ]


def _only(precisions: frozenset[str]) -> str:
    order = ("float32", "float16", "dynamic", "int8", "16x8")
    return "" if precisions == ALL else ", ".join(name for name in order if name in precisions)


def _largest(layer: Layer, name: str) -> int:
    value = layer.attributes.get(name) or 1
    return max(value) if isinstance(value, list | tuple) else int(value)


def bits(precision: str) -> tuple[float, float]:
    """Bits of a stored weight and of an activation."""
    return {
        "float32": (32, 32),
        "float16": (16, 32),
        "dynamic": (8, 32),
        "int8": (8, 8),
        "16x8": (8, 16),
    }[precision]


def sizes(network: Network, precision: str) -> tuple[float, float]:
    """Bytes of the weights, and of the activations that live at once, at this precision.

    Biases stay 32 bits wide (64 for 16x8).
    """
    weight, activation = bits(precision)
    wide = {"int8": 32, "16x8": 64}.get(precision, weight)
    stored = sum(
        array.size * (wide if role == "bias" else weight)
        for layer in network
        for role, array in layer.weights.items()
        if layer.kind != "batch_norm"
    )
    # Peak in elements: the Network's own peak counts each tensor at its quantiser's bits.
    from dataclasses import replace

    plain = network.with_layers(tuple(replace(layer, quantizer=None) for layer in network))
    return stored / 8, plain.totals.activation_bytes / 4 * activation / 8


def memory(network: Network, target: Target, precision: str) -> list[Problem]:
    """Whether weights and activations fit the target's memory; the lower bound of both."""
    if target.kind not in _MEMORY:
        return []
    needs = _needs(network, target, precision)
    found = []
    for name, need in needs.items():
        room = target.memory.get(name)
        if room is not None and need > room.value:
            found.append(
                Problem(
                    None,
                    f"it needs at least {need:,.0f} B of {name} at {precision}, {target.name} has "
                    f"{room.value:,.0f} B: {need - room.value:,.0f} B too much",
                    roomier.remedy(target, needs, _smaller(network, target, precision)),
                )
            )
    return found


def _needs(network: Network, target: Target, precision: str) -> dict[str, float]:
    """Bytes by memory of the target, at least; some microcontrollers' runtimes lay an output over
    its input."""
    weights, activations = sizes(network, precision)
    store, work = _MEMORY[target.kind]
    if target.kind == "mcu":
        ram = mcu_memory.memory(network, target, precision)["ram"].low
        activations = activations if ram is None else min(activations, ram)
    if store == work:
        return {store: weights + activations}
    return {store: weights, work: activations}


def _smaller(network: Network, target: Target, precision: str) -> str:
    """Whether int8 would do, or what the target holds at 8 bits."""
    needs = _needs(network, target, "int8")
    rooms = {name: target.memory.get(name) for name in needs}
    if all(room is None or needs[name] <= room.value for name, room in rooms.items()):
        return "choose precision int8, which fits here"
    scale = min(
        room.value / needs[name] for name, room in rooms.items() if room is not None and needs[name]
    )
    word = "" if precision == "int8" else "int8 and "
    return f"choose {word}a model of at most {scale:.1%} of this one's size"
