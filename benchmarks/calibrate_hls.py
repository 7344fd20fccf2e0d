"""Write the constants of the HLS estimates (resources, latency) from reports under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_hls.py
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeflow.estimate import (
    hls_calibration,
    hls_latency,
    hls_resource_calibration,
    hls_resources,
)

if __name__ == "__main__":
    data = Path(os.environ["EDGEFLOW_DATA"])
    hls_resource_calibration.write(data, hls_resources.COEFFICIENTS)
    hls_calibration.write(data, hls_latency.COEFFICIENTS)
    for row in (
        *hls_resources.coefficients()["accuracy"],
        *hls_latency.coefficients()["accuracy"],
    ):
        print(
            f"{row['designs'][:58]:58} {row['quantity']:22} {row['median_error'] or 0:7.1%} "
            f"{row['within_2x']:7.1%} within 2x, band {row['band']:6.2f}, "
            f"{row['held']} of {row['held_of']}"
        )
