"""A report as the pipeline makes it, with every kind of content; the figures are invented."""

from __future__ import annotations

from typing import Any

import pytest

HOSTILE = "</script><script>alert(1)</script>"


def figure(value: float, factor: float, unit: str, method: str = "model") -> dict[str, Any]:
    return {
        "value": value,
        "low": value / factor,
        "high": value * factor,
        "unit": unit,
        "method": method,
        "source": "a data sheet, table 3",
    }


def missing(unit: str, reason: str) -> dict[str, Any]:
    return {
        "value": None,
        "low": None,
        "high": None,
        "unit": unit,
        "method": "model",
        "source": "none",
        "reason": reason,
    }


def layers(bits: float) -> list[dict[str, Any]]:
    rows = [
        ("image", "input", [8, 8, 1], 0, 0),
        ("conv", "conv2d", [6, 6, 8], 80, 2592),
        (HOSTILE, "relu", [6, 6, 8], 0, 0),
        ("flatten", "flatten", [288], 0, 0),
        ("dense", "dense", [10], 2890, 2880),
    ]
    return [
        {
            "name": name,
            "kind": kind,
            "output_shape": shape,
            "parameters": parameters,
            "macs": macs,
            "weight_bits": bits if parameters else None,
            "activation_bits": bits,
            "sparsity": 0.25 if parameters else None,
        }
        for name, kind, shape, parameters, macs in rows
    ]


def comparison(runtime: str, **changes: Any) -> dict[str, Any]:
    return {
        "runtime": runtime,
        "version": "1.2.3",
        "resolver": None,
        "inputs": 1000,
        "equal": 1.0,
        "max_difference": 0.0,
        "mean_difference": 0.0,
        "agreement": 1.0,
        "accuracy": 0.967,
        "tolerance": {"absolute": 0, "agreement": 1, "reason": ""},
        "passed": True,
        "deciding": True,
        "first_divergence": None,
        "explanation": "",
        **changes,
    }


@pytest.fixture
def sample() -> dict[str, Any]:
    return make_sample()


def make_sample() -> dict[str, Any]:
    """Three targets: one verified, one that fails, one that could not be compiled."""
    curves = {"loss": [1.2, 0.5, 0.3], "val_loss": [1.1, 0.6, 0.4], "accuracy": [0.7, 0.9, 0.95]}
    unpublished = "no figure is published for this chip"
    return {
        "schema": "edgeflow.report/1",
        "edgeflow": "0.1.0",
        "created": "2026-11-20T15:00:00+00:00",
        "name": "digits",
        "recipe": "recipe.yaml",
        "model": {
            "name": "digits",
            "format": "keras3",
            "sha256": "ab" * 32,
            "totals": {"macs": 5472, "parameters": 2970, "weight_bytes": 11880.0},
            "layers": layers(32),
        },
        "data": {
            "name": "digits",
            "task": "classification",
            "train": 1347,
            "test": 450,
            "classes": 10,
        },
        "metric": "accuracy",
        "accuracy": 0.982,
        "history": {"float": curves},
        "stages": [
            {
                "title": "train",
                "label": "",
                "toolchain": "keras",
                "seconds": 12.3,
                "cached": False,
                "key": "0" * 64,
            },
            {
                "title": "compile",
                "label": "pynq-z2",
                "toolchain": "qkeras",
                "seconds": 5.0,
                "cached": True,
                "key": "1" * 64,
            },
        ],
        "targets": {
            "pynq-z2": {
                "backend": "hls4ml",
                "title": "PYNQ-Z2 (Zynq-7020)",
                "options": {"io": "io_parallel", "reuse_factor": 1},
                "accuracy": 0.967,
                "accuracy_float": 0.982,
                "accuracy_retrained": 0.967,
                "verified": True,
                "verification": [comparison("hls4ml C simulation")],
                "compress": {"method": "qkeras", "bits": 6},
                "history": curves,
                "layers": layers(6),
                "artifacts": {"hls_project": "pynq-z2/hls_project"},
                "estimates": {
                    "latency": figure(1.3e-6, 2, "s"),
                    "power": figure(1.6, 1.25, "W"),
                    "energy_per_inference": figure(2.1e-6, 2.5, "J"),
                    "chip_power": missing("W", unpublished),
                    "lut": figure(42051, 1.3, "LUT"),
                    "dsp": {**figure(0, 1, "DSP"), "method": "synthesised"},
                    "macs": figure(5472, 1, "MAC"),
                },
                "notes": ["no vendor tool on PATH: resources are estimates"],
                "tables": [
                    {
                        "title": "Operators on the NPU",
                        "columns": ["operator", "cycles", "utilisation", "name"],
                        "rows": [["Conv2D", 12345, 0.25, HOSTILE], ["Softmax", None, 0.0, "s"]],
                    }
                ],
                "error": None,
            },
            "raspberry-pi-4": {
                "backend": "tflite",
                "title": "Raspberry Pi 4 B",
                "options": {"precision": "int8"},
                "accuracy": 0.88,
                "accuracy_float": 0.982,
                "accuracy_retrained": 0.971,
                "verified": False,
                "verification": [
                    comparison(
                        "LiteRT",
                        resolver="BUILTIN_REF",
                        equal=0.7,
                        max_difference=0.21,
                        mean_difference=0.01,
                        agreement=0.9,
                        passed=False,
                        first_divergence={"layer": HOSTILE, "difference": 0.2, "index": [0, 3, 1]},
                        explanation="the outputs differ by more than one step of the int8 scale",
                    ),
                    comparison("tflite-runtime", deciding=False, equal=0.97),
                ],
                "compress": {"method": "int8"},
                "history": {**curves, "loss": [1.0, float("nan"), 0.2]},
                "layers": layers(8),
                "artifacts": {"tflite": "raspberry-pi-4/model.tflite"},
                "estimates": {
                    "latency": figure(0.000_31, 3, "s"),
                    "latency_measured": figure(0.000_28, 1.1, "s", "measured"),
                    "power": figure(4.6, 1.4, "W"),
                    "energy_per_inference": figure(1.4e-3, 3, "J"),
                    "chip_power": missing("W", unpublished),
                    "model_size": figure(6200, 1, "B", "measured"),
                },
                "notes": [],
                "error": None,
            },
            "tpu-v5e": {
                "backend": "tpu",
                "title": "Cloud TPU v5e",
                "options": {},
                "accuracy": None,
                "verified": False,
                "artifacts": {},
                "estimates": {"power": missing("W", unpublished)},
                "error": "layer 'lambda': code inside a model is refused",
            },
        },
    }


@pytest.fixture
def hostile() -> str:
    """A layer's name in the sample that would run as a script where it is not escaped."""
    return HOSTILE
