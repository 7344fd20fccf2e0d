"""Write the constants of the HLS resource estimates from the reports under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_hls.py
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeflow.estimate import hls_resource_calibration, hls_resources

if __name__ == "__main__":
    hls_resource_calibration.write(Path(os.environ["EDGEFLOW_DATA"]), hls_resources.COEFFICIENTS)
    print(hls_resources.COEFFICIENTS.read_text())
