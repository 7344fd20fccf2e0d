"""The ethos_u job: a .tflite file through Vela, and what Vela's tables say of it."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeflow.errors import JobError, UnsupportedError
from edgeflow.frontends.tflite_file_job import Parsed

WARNING = re.compile(
    r"^Warning \(supported operators\) operator: (?P<kind>\S+?), ofm: '(?P<name>.*)'$"
)
PLACED = re.compile(r"^\s+(?P<where>CPU|NPU): (?P<kind>[^=]+?) = (?P<name>.*) \(outputs ")
MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")
KIB = 1024
MOST_NOTES = 10
SPLIT = "_act"
"""Vela's suffix of an operator's output before the activation that it takes apart."""


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Compile ``model.tflite`` for an NPU: ``model_vela.tflite`` and ``vela.json``.

    ``inputs``: ``tflite`` (the tflite backend's folder). ``params``: ``accelerator``,
    ``system_config``, ``memory_mode``, ``optimise``, ``arena_cache_size`` (bytes or None).

    Result: ``cycles`` (``npu``, each memory, ``total``), ``clock_hz``, ``memory`` and
    ``traffic`` (bytes by memory; traffic an inference), ``macs``, ``weights``, ``encoded_weights``
    (bytes), ``npu_operators`` (of the file; ``npu_operations`` is what Vela makes of them),
    ``cpu_operators`` (list of ``kind``, ``name``, ``reason``),
    ``operators`` (Vela's table by operator), ``version``, ``file_bytes``, ``notes``.

    Raises:
        UnsupportedError: nothing runs on the NPU.
        JobError: Vela failed.
    """
    progress(0, 1, "Vela")
    shutil.copyfile(inputs["tflite"] / "model.tflite", "model.tflite")
    command = [
        sys.executable, "-m", "ethosu.vela", "model.tflite", "--output-dir", "made",
        "--config", "Arm/vela.ini", "--accelerator-config", params["accelerator"],
        "--system-config", params["system_config"], "--memory-mode", params["memory_mode"],
        "--optimise", params["optimise"], "--show-cpu-operations", "--verbose-performance",
    ]  # fmt: skip
    if params["arena_cache_size"]:
        command += ["--arena-cache-size", str(params["arena_cache_size"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode != 0:
        raise _failure(said)
    result = {**_summary(Path("made")), **_placement(done.stdout.splitlines())}
    operators = len(Parsed(Path("model.tflite"), "model.tflite").graph.operators)
    result["npu_operators"] = operators - len(result["cpu_operators"])
    result |= {
        "operators": _table(Path("made")),
        "version": version("ethos-u-vela"),
        **{key: params[key] for key in ("accelerator", "system_config", "memory_mode")},
    }
    if not result["npu_operations"]:
        raise UnsupportedError(
            f"nothing of the model runs on the NPU ({params['accelerator']})",
            details=[
                f"{item['kind']} '{item['name']}': {item['reason'] or 'no reason given'}"
                for item in result["cpu_operators"][:10]
            ],
            remedy="quantise the model to int8 (precision: int8), and look at `check --list`",
        )
    shutil.copyfile("made/model_vela.tflite", output / "model_vela.tflite")
    result["file_bytes"] = (output / "model_vela.tflite").stat().st_size
    result["notes"] = _notes(result)
    (output / "vela.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def _failure(said: list[str]) -> JobError:
    """What Vela's last words mean: a complaint of its own kind, or a fault."""
    last = said[-1].strip() if said else ""
    own = re.match(r"ethosu\.vela\.errors\.\w+: ['\"]?(?:Error: )?(.*?)['\"]?$", last)
    if own is None and any(line.startswith("Traceback") for line in said):
        return JobError(
            f"Vela stopped with a fault of its own: {last}",
            remedy="try another accelerator, or leave out the last layers of the model "
            "(they run on the processor as well)",
        )
    errors = [line.strip() for line in said if line.startswith(("Error", "vela: error"))]
    return JobError(
        "Vela cannot compile the file",
        details=[own[1]] if own else (errors or said)[-3:],
        remedy="choose another system_config or memory_mode, or read the job's log",
    )


def _notes(result: dict[str, Any]) -> list[str]:
    """What the report should say: how much runs where, and why not on the NPU."""
    cpu = result["cpu_operators"]
    count = result["npu_operators"] + len(cpu)
    notes = [
        f"{result['npu_operators']} of {count} operators run on the NPU ({result['accelerator']}, "
        f"{result['system_config']}, {result['memory_mode']})"
    ]
    for item in cpu[:MOST_NOTES]:
        reason = item["reason"] or "Vela gives no reason"
        notes.append(f"on the processor: {item['kind']} '{item['name']}': {reason}")
    if len(cpu) > MOST_NOTES:
        notes.append(f"and {len(cpu) - MOST_NOTES} more on the processor (vela.json has them all)")
    cycles: dict[str, float] = {}
    for row in result["operators"]:
        cycles[row["operator"]] = cycles.get(row["operator"], 0.0) + row["cycles"]
    if total := sum(cycles.values()):
        shares = sorted(cycles.items(), key=lambda item: -item[1])[:3]
        words = ", ".join(f"{kind} {100 * spent / total:.0f} %" for kind, spent in shares)
        notes.append(f"NPU cycles by operator, by Vela: {words}")
    return notes


def _summary(folder: Path) -> dict[str, Any]:
    """The one line of Vela's summary."""
    files = sorted(folder.glob("*_summary_*.csv"))
    if not files:
        raise JobError("Vela left no summary")
    with files[0].open(newline="") as file:
        row = next(csv.DictReader(file))

    def number(name: str) -> float:
        value = float(row[name])
        return value if math.isfinite(value) else 0.0

    return {
        "clock_hz": number("core_clock"),
        "cycles": {
            "npu": number("cycles_npu"),
            **{name: number(f"cycles_{name}_access") for name in MEMORIES},
            "total": number("cycles_total"),
        },
        "memory": {name: number(f"{name}_memory_used") * KIB for name in MEMORIES},
        "traffic": {name: number(f"{name}_total_bytes") for name in MEMORIES},
        "macs": number("nn_macs"),
        "weights": number("total_original_weights"),
        "encoded_weights": number("total_npu_encoded_weights"),
        "seconds": number("inference_time"),
    }


def _placement(lines: Iterable[str]) -> dict[str, Any]:
    """Which operators run where, with the reasons that Vela gave before its summary."""
    reasons: dict[str, tuple[str, str]] = {}
    current: re.Match[str] | None = None
    cpu = []
    npu = 0
    for line in lines:
        if found := WARNING.match(line):
            current = found
        elif current and line.startswith("Reason: "):
            reasons[current["name"]] = current["kind"], line.removeprefix("Reason: ").strip()
        elif current and line.strip() and current["name"] in reasons:
            kind, reason = reasons[current["name"]]  # the constraint, in a line of its own
            reasons[current["name"]] = kind, f"{reason} ({line.strip().rstrip('.')})"
            current = None
        elif not line.strip() and current and current["name"] in reasons:
            current = None
        elif placed := PLACED.match(line):
            if placed["where"] == "NPU":
                npu += 1
                continue
            name = placed["name"]
            if name not in reasons and f"{name}{SPLIT}" in reasons:
                name += SPLIT
            kind, reason = reasons.get(name, (placed["kind"], ""))
            cpu.append({"kind": kind, "name": placed["name"], "reason": reason})
    return {"npu_operations": npu, "cpu_operators": cpu}


def _table(folder: Path) -> list[dict[str, Any]]:
    """Vela's table by operator; none where nothing runs on the NPU."""
    found = []
    for path in sorted(folder.glob("*_per-layer.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                found.append(
                    {
                        "operator": row["Original Operator"],
                        "npu_operator": row["NNG Operator"],
                        "where": row["Target"],
                        "name": row["Name"],
                        "cycles": float(row["Op Cycles"]),
                        "npu_cycles": float(row["NPU"]),
                        "macs": float(row["MAC Count"]),
                        "utilisation": float(row["Util% (MAC)"]) / 100,
                    }
                )
    return found
