"""Write the coefficients of the first estimates from the measurements under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_estimates.py
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeflow.estimate import calibration, energy, hls_calibration, hls_latency

if __name__ == "__main__":
    data = Path(os.environ["EDGEFLOW_DATA"])
    calibration.write(data, energy.COEFFICIENTS)
    hls_calibration.write(data, hls_latency.COEFFICIENTS)
    for path in (energy.COEFFICIENTS, hls_latency.COEFFICIENTS):
        print(path.read_text())
