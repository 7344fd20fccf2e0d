"""Instructions of MLPerf Tiny's int8 models on Cortex-M cores, in QEMU; prints JSON.

    python benchmarks/cortex_m.py DATA [CORE ...]

DATA is the folder of real models (README). For each model and core: instructions of one inference,
the same by multiply-accumulate and by kernel (instructions, multiply-accumulates), bytes of code,
constants, arena (with the least that any plan needs) and stack, and seconds of the conversion.
QEMU counts instructions, not cycles. Arm's compiler and QEMU have to be on PATH.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.cortex_m.backend import CORES, MACHINES
from edgeflow.errors import EdgeflowError
from edgeflow.jobs import Job, Runner
from edgeflow.store import Store

TINY = "models/mlperf_tiny"
MODELS = {
    "resnet8": "image_classification/trained_models/pretrainedResnet_quant.tflite",
    "mobilenet_vww": "visual_wake_words/trained_models/vww_96_int8.tflite",
    "ds_cnn": "keyword_spotting/trained_models/kws_ref_model.tflite",
    "autoencoder": "anomaly_detection/trained_models/ad01_int8.tflite",
    "streaming_wakeword": "streaming_wakeword/trained_models/str_ww_ref_model.tflite",
}


def job(word: str, given: dict[str, Path], **params: Any) -> Job:
    """One of the backend's jobs."""
    return Job(f"edgeflow.backends.cortex_m.job:{word}", "keras", word, given, params)


def measure(runner: Runner, source: Path, core: str, golden: Path) -> dict[str, Any]:
    """One model on one core."""
    made = runner.run(job("compile", {"tflite": source}, name="net", core=core))
    machine, about = MACHINES[core], made.result
    where = {"flash": machine.flash, "ram": machine.ram}
    found = {
        "macs": about["macs"],
        "arena": about["arena"],
        "least_arena": about["least_arena"],
        "arena_ratio": round(about["arena"] / about["least_arena"], 4),
        "conversion_s": round(made.seconds, 2),
    }
    shape = about["ports"]["input"]["shape"]
    np.savez(golden / "golden.npz", x=np.random.default_rng(1).normal(0, 1, (2, *shape)))
    try:
        image = runner.run(job("firmware", {"compiled": made.path}, core=core, memory=where))
        given = {"compiled": made.path, "firmware": image.path, "golden": golden}
        how = {"machine": machine.name, "clock_mhz": machine.clock_mhz, "core": core}
        seen = runner.run(job("emulate", given, **how, inputs=2, timeout=600)).result
    except EdgeflowError as error:
        return {**found, "reason": str(error)}
    library = image.result["library"]
    kernels: dict[str, dict[str, Any]] = {}
    for operator, count in zip(about["operators"], seen["by_operator"], strict=True):
        entry = kernels.setdefault(operator["kernel"] or "none", {"instructions": 0, "macs": 0})
        entry["instructions"] += count
        entry["macs"] += operator["macs"]
    for entry in kernels.values():
        entry["per_mac"] = (
            round(entry["instructions"] / entry["macs"], 3) if entry["macs"] else None
        )
    return {
        **found,
        "instructions": seen["instructions"],
        "per_mac": round(seen["instructions"] / about["macs"], 3),
        "kernels": kernels,
        "code": library["code"],
        "constants": library["constants"],
        "stack": seen["stack"],
        "qemu": seen["version"],
        "compiler": image.result["compiler"],
    }


def main(data: Path, cores: list[str]) -> None:
    """Print what was measured."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch, Runner(Store(Path(scratch, "store"))) as runner:
        for name, path in MODELS.items():
            source = Path(scratch, name)
            source.mkdir()
            (source / "model.tflite").write_bytes((data / TINY / path).read_bytes())
            found[name] = {}
            for core in cores:
                golden = Path(scratch, f"{name}-{core}")
                golden.mkdir()
                found[name][core] = measure(runner, source, core, golden)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or [core for core in CORES if core != "cortex-m0plus"])
