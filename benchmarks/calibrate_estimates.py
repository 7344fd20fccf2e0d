"""Write the coefficients of the first estimates from the measurements under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_estimates.py
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeflow.estimate import calibration
from edgeflow.estimate.energy import COEFFICIENTS

if __name__ == "__main__":
    calibration.write(Path(os.environ["EDGEFLOW_DATA"]), COEFFICIENTS)
    print(COEFFICIENTS.read_text())
