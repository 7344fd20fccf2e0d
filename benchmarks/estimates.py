"""How quick estimates are: a model of a million weights on ten targets, and what-if points.

Prints JSON. Times are CPU seconds of a fresh process (its imports and toolchain jobs included),
memory is its peak, MB:

- ``network``: a Network JSON, to the figures of ten targets (goal: under 3 s);
- ``model``: a Keras file with a million weights: loaded in its toolchain, each weight's digits
  counted as its HLS design would hold them, ten targets (goal: under 20 s);
- ``whatif``: points of precision and reuse factor per minute, by `edgeflow.estimating.Explorer`
  (goal: 10,000).

Run: python benchmarks/estimates.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from edgeflow import toolchains

TARGETS = (
    "pynq-z2", "alveo-u250", "zcu104", "icebreaker", "nucleo-u575zi-q", "nucleo-h7a3zi-q",
    "raspberry-pi-4", "coral-usb-accelerator", "ethos-u55-128", "tpu-v4",
)  # fmt: skip
UNITS = (512, 512, 512, 10)
NETWORK = {
    "input_shape": [1024],
    "bits": 8,
    "layers": [{"kind": "dense", "units": units} for units in UNITS],
}
POINTS = 2000

MAKE = """
import sys, keras
keras.utils.set_random_seed(0)
layers = [keras.layers.Input((1024,))]
layers += [keras.layers.Dense(n, activation="relu") for n in (512, 512, 512)]
keras.Sequential([*layers, keras.layers.Dense(10)]).save(sys.argv[1])
"""

ESTIMATE = """
import json, resource, sys, time
from pathlib import Path
from edgeflow import estimating, subject
from edgeflow.jobs import Runner
from edgeflow.store import Store

files, store, names = [Path(sys.argv[1])], Path(sys.argv[2]), sys.argv[3:]
found = estimating.estimate_targets(
    lambda: subject.read(files, lambda: Runner(Store(store))), names, calibration=Path("none")
)
used = resource.getrusage(resource.RUSAGE_SELF)
jobs = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "cpu_s": round(used.ru_utime + used.ru_stime + jobs.ru_utime + jobs.ru_stime, 2),
    "own_cpu_s": round(used.ru_utime + used.ru_stime, 2),
    "peak_mb": round(used.ru_maxrss / 1024),
    "targets": len(found),
    "figures": sum(
        figure["value"] is not None
        for entry in found.values() for figure in entry["estimates"].values()
    ),
}))
"""

WHATIF = """
import json, resource, sys, time
from pathlib import Path
from edgeflow import estimating, subject

what = subject.read([Path(sys.argv[1])], None)
explorer = estimating.Explorer(what, "alveo-u250", calibration=Path("none"))
begin = time.process_time()
count = int(sys.argv[2])
for number in range(count):
    explorer.at({
        "reuse_factor": 2 ** (number % 9), "precision": f"ap_fixed<{4 + number % 13},2>",
        "strategy": "resource",
    })
seconds = time.process_time() - begin
print(json.dumps({
    "points": count,
    "points_per_minute": round(60 * count / seconds),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
}))
"""


def run(code: str, *arguments: object, interpreter: object = sys.executable) -> str:
    """What a fresh process prints."""
    return subprocess.run(
        [str(interpreter), "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=True, timeout=600,
    ).stdout  # fmt: skip


def main() -> None:
    """Measure, and print JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network, model = folder / "network.json", folder / "model.keras"
        network.write_text(json.dumps(NETWORK))
        run(MAKE, model, interpreter=toolchains.get("keras").interpreter)
        found = {
            "network": json.loads(run(ESTIMATE, network, folder / "store", *TARGETS)),
            "model": json.loads(run(ESTIMATE, model, folder / "store", *TARGETS)),
            "whatif": json.loads(run(WHATIF, network, POINTS)),
        }
    found["goals"] = {
        "network": found["network"]["cpu_s"] < 3,
        "model": found["model"]["cpu_s"] < 20,
        "whatif": found["whatif"]["points_per_minute"] > 10_000,
        "memory": all(found[key]["peak_mb"] < 500 for key in ("network", "model", "whatif")),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
