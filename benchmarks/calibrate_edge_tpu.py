"""Write the constants of the Edge TPU's estimates from measurements under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_edge_tpu.py
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeflow.estimate import edge_tpu, edge_tpu_calibration

if __name__ == "__main__":
    edge_tpu_calibration.write(Path(os.environ["EDGEFLOW_DATA"]), edge_tpu.COEFFICIENTS)
    for row in edge_tpu.coefficients()["accuracy"]:
        print(
            f"{row['designs'][:60]:60} {row['median_error']:6.1%} {row['within_2x']:6.1%} "
            f"within 2x of {row['rows']}, band {row['band']:.2f}, {row['held']} of {row['held_of']}"
        )
