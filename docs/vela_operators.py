"""Writes edgeflow/backends/ethos_u/supported_ops.json from Vela's own report.

Run it after Vela's version in the keras toolchain has changed; a test says so.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeflow.jobs import Job, Runner

TABLE = Path(__file__).parents[1] / "edgeflow/backends/ethos_u/supported_ops.json"
JOB = Job("edgeflow.backends.ethos_u.report_job:supported", "keras", "Vela's operators", {}, {})

if __name__ == "__main__":
    with Runner() as runner:
        shutil.copyfile(runner.run(JOB).path / "supported_ops.json", TABLE)
