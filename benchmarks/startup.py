"""CPU seconds of commands that do no heavy work, and their peak memory; prints JSON.

    python benchmarks/startup.py [RUNS]

Each command runs as a whole process, once to warm up and then RUNS times (default 7); the median
of user + system time counts. Limits: 0.3 s of CPU for `--help` and `targets list`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

COMMANDS = ("--help", "targets list", "env list", "run --help")
LIMIT = 0.3


def measure(command: list[str], runs: int) -> dict[str, Any]:
    """Median CPU seconds and largest resident size (MB) of a command."""
    seconds, peaks = [], []
    for _ in range(runs + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command} ended with exit code {process.returncode}")
        seconds.append(usage.ru_utime + usage.ru_stime)
        peaks.append(usage.ru_maxrss / 1000)
    return {
        "cpu_s": round(statistics.median(seconds[1:]), 3),
        "cpu_s_min_max": [round(min(seconds[1:]), 3), round(max(seconds[1:]), 3)],
        "peak_mb": round(max(peaks), 1),
    }


def main() -> None:
    """Measure each command."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    program = os.path.join(os.path.dirname(sys.executable), "edgeflow")
    found = {text: measure([program, *text.split()], runs) for text in COMMANDS}
    limits = {name: found[name]["cpu_s"] < LIMIT for name in ("--help", "targets list")}
    print(json.dumps({"commands": found, "limit_cpu_s": LIMIT, "within": limits}, indent=1))


if __name__ == "__main__":
    main()
