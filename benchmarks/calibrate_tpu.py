"""Write the constants of the Cloud TPUs' estimates without libtpu, from libtpu's own cycles.

Compiles networks ahead of time for the generations (many minutes; what is done is kept in --work),
then fits. Needs the toolchain `tpu_aot`.

Run: python benchmarks/calibrate_tpu.py --work FOLDER
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

import edgeflow
from edgeflow import toolchains
from edgeflow.estimate import tpu, tpu_calibration
from edgeflow.estimate.edge_tpu_designs import conv_stack, mobilenet_v1
from edgeflow.estimate.ethos_u_designs import dense, inverted, plain, residual

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    networks = (
        plain(32, 16, 4), plain(48, 40, 6, 5), dense(256, 3), dense(1024, 2), residual(32, 16),
        inverted(96, 1.0), mobilenet_v1(0.25, 96, 10), conv_stack(192),
    )  # fmt: skip
    paths = []
    for network in networks:
        paths.append(work / f"{network.name}.json")
        network.save(paths[-1])
    script = Path(__file__).with_name("network_to_tpu.py")
    python = str(toolchains.get("tpu_aot").interpreter)
    package = str(Path(edgeflow.__file__).parents[1])
    subprocess.run(
        [python, str(script), *map(str, paths), "--output", str(work / "rows.json")],
        check=True,
        env={**os.environ, "PYTHONPATH": package},
    )
    tpu_calibration.write(work, tpu.COEFFICIENTS)
    for row in tpu.coefficients()["accuracy"]:
        print(
            f"{row['designs']:50} {row['median_error']:6.1%} {row['within_2x']:6.1%} within 2x of "
            f"{row['rows']}, band {row['band']:.2f}, {row['held']} of {row['held_of']}"
        )
