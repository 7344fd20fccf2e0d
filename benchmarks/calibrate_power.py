"""Write the coefficients of power from the measurements under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_power.py
"""

from __future__ import annotations

import os
from pathlib import Path

from edgeflow import targets
from edgeflow.estimate import power, power_calibration

if __name__ == "__main__":
    boards = {board: targets.load(name) for board, name in power_calibration.BOARDS.items()}
    power_calibration.write(Path(os.environ["EDGEFLOW_DATA"]), boards, power.COEFFICIENTS)
    print(power.COEFFICIENTS.read_text())
