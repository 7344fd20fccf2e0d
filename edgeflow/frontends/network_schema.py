"""The JSON Schema of a Network file, for editors."""

from __future__ import annotations

from typing import Any

from edgeflow.frontends import network_shapes
from edgeflow.frontends.network_file import STRATEGIES
from edgeflow.network import FORMAT, KINDS


def schema() -> dict[str, Any]:
    """The JSON Schema of a Network file, for editors; both forms."""
    number, text = {"type": "number"}, {"type": "string"}
    whole = {"type": "integer", "minimum": 1}
    shape = {"type": "array", "items": {"type": ["integer", "null"], "minimum": 1}}
    shared = {
        "bits": {**number, "description": "of weights and activations"},
        "weight_bits": number,
        "activation_bits": number,
        "strategy": {"enum": list(STRATEGIES)},
        "reuse_factor": whole,
        "sparsity": {**number, "minimum": 0, "maximum": 1, "description": "share of zeros"},
    }
    weight = {
        "type": "object",
        "required": ["shape"],
        "properties": {"shape": shape, "bits": number, "nonzero": {"type": ["integer", "null"]}},
    }
    layer = {
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {"enum": sorted(KINDS)},
            "name": text,
            "inputs": {"type": "array", "items": text, "description": "default: the one before"},
            "input_shapes": {"type": "array", "items": shape},
            "output_shape": shape,
            "precision": {**text, "description": "ap_fixed<16,6>: of weights and output"},
            "activation": {**text, "description": "a layer of its own behind this one"},
            "use_bias": {"type": "boolean"},
            "weights": {"type": "object", "additionalProperties": weight},
            **shared,
            **{key: {} for key in sorted(network_shapes.SETTINGS)},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgeflow Network",
        "type": "object",
        "required": ["layers"],
        "properties": {
            "format": {"const": FORMAT},
            "name": text,
            "input_shape": shape,
            **shared,
            "io": {"enum": ["parallel", "stream"]},
            "clock_mhz": number,
            "part": text,
            "compiler": {**text, "description": "vitis, vivado, …"},
            "multipliers": {"enum": ["dsp", "logic"]},
            "layers": {"type": "array", "items": layer},
        },
    }
