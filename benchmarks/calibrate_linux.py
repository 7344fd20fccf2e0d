"""Write the constants of the Linux boards' estimates from measurements under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_linux.py
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeflow.estimate import linux, linux_calibration

if __name__ == "__main__":
    linux_calibration.write(Path(os.environ["EDGEFLOW_DATA"]), linux.COEFFICIENTS)
    for row in linux.coefficients()["accuracy"]:
        print(
            f"{row['designs'][:60]:60} {row['median_error']:6.1%} {row['within_2x']:6.1%} "
            f"within 2x of {row['rows']}, band {row['band']:.2f}, {row['held']} of {row['held_of']}"
        )
