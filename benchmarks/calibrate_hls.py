"""Write the constants of the HLS estimates (resources, latency) from reports under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... python benchmarks/calibrate_hls.py
rule4ml's errors, which `rule4ml.py` puts beside ours, stay as they are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from edgeflow.estimate import (
    hls_calibration,
    hls_latency,
    hls_resource_calibration,
    hls_resources,
)


def keep_alternatives(path: Path, before: str) -> None:
    """Put the alternatives of an earlier record beside the new rows of the same designs."""
    old = {(row["quantity"], row["designs"]): row for row in json.loads(before)["accuracy"]}
    record = json.loads(path.read_text())
    for row in record["accuracy"]:
        if found := old.get((row["quantity"], row["designs"]), {}).get("alternatives"):
            row["alternatives"] = found
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    data = Path(os.environ["EDGEFLOW_DATA"])
    for write, path in (
        (hls_resource_calibration.write, hls_resources.COEFFICIENTS),
        (hls_calibration.write, hls_latency.COEFFICIENTS),
    ):
        known = path.read_text()
        write(data, path)
        keep_alternatives(path, known)
    for row in (
        *hls_resources.coefficients()["accuracy"],
        *hls_latency.coefficients()["accuracy"],
    ):
        print(
            f"{row['designs'][:58]:58} {row['quantity']:22} {row['median_error'] or 0:7.1%} "
            f"{row['within_2x']:7.1%} within 2x, band {row['band']:6.2f}, "
            f"{row['held']} of {row['held_of']}"
        )
