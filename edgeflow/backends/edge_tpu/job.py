"""The edge_tpu job: the verdict on a .tflite file, by Google's rules and Google's compiler."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeflow.backends.edge_tpu import compiler_job, graph_job, verdict_job
from edgeflow.errors import UnsupportedError

MIB = 1 << 20


def compile(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Say what of ``model.tflite`` the Edge TPU runs: ``verdict.json``; compile it where we can.

    ``inputs``: ``tflite`` (the tflite backend's folder). ``params``: ``compiler`` (the hash of
    ``edgetpu_compiler``, None where there is none), ``program`` (its path), ``timeout`` (s).

    Result, the same as ``verdict.json``: `verdict_job.verdict`'s, and ``static`` (our own
    counts), ``compiler`` (`compiler_job.parse`'s answer, None where it did not run), ``notes``,
    ``file_bytes`` (of the file to deploy). Where the compiler ran, ``source`` names it, and
    counts, memory and where each operator runs are its own.
    ``model.tflite`` lies beside it, and ``model_edgetpu.tflite`` if the compiler ran.

    Raises:
        UnsupportedError: nothing maps.
        JobError: the compiler failed.
    """
    progress(0, 1, "verdict")
    source = inputs["tflite"] / "model.tflite"
    found = verdict_job.verdict(graph_job.read(source))
    keys = ("operators", "mapped", "on_cpu", "cut", "parameter_memory")
    found |= {"static": {key: found[key] for key in keys}, "compiler": None}
    size = source.stat().st_size
    if params["compiler"]:
        shutil.copyfile(source, "model.tflite")
        said = compiler_job.run(params["program"], Path("model.tflite"), params["timeout"])
        made = Path(said.pop("file"))
        found = _compiled(found, said)
        size = made.stat().st_size
        if found["mapped"]:
            shutil.copyfile(made, output / "model_edgetpu.tflite")
    if not found["mapped"]:
        raise UnsupportedError(
            "nothing of the model runs on the Edge TPU",
            details=[
                f"{row['operator']} '{row['name']}': {row['reason']} ({row['remedy']})"
                for row in found["table"][:10]
            ],
            remedy="quantise the model to int8 with int8 or uint8 input and output",
        )
    shutil.copyfile(source, output / "model.tflite")
    found["file_bytes"] = size
    found["notes"] = _notes(found)
    (output / "verdict.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def _compiled(found: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The verdict with the compiler's answer in the place of ours."""
    left = set(said["cpu_names"])
    reasons = {
        row["operator"]: row["status"]
        for row in said["status"]
        if row["status"] != compiler_job.MAPPED
    }
    table = []
    for row in found["table"]:
        mapped = row["name"] not in left
        reason = "" if mapped else reasons.get(row["operator"], row["reason"])
        table.append({**row, "mapped": mapped, "reason": reason, "unsure": False})
    memory = {name: size for name, size in said["parameter_memory"].items() if size is not None}
    count = sum(row["mapped"] for row in table)
    return found | {
        "source": f"edgetpu_compiler {said['version'] or 'of unknown version'}",
        "mapped": count,
        "on_cpu": len(table) - count,
        "cut": verdict_job.cut(table),
        "parameter_memory": found["parameter_memory"] | memory,
        "table": table,
        "compiler": said,
    }


def _notes(found: dict[str, Any]) -> list[str]:
    """What the user should read."""
    who = "our verdict by the published rules" if _static(found) else found["source"]
    notes = [f"{found['mapped']} of {found['operators']} operators run on the Edge TPU ({who})"]
    if _static(found):
        notes.append(
            "edgetpu_compiler is not on PATH: this is a verdict, the file still has to be compiled"
        )
    elif found["static"]["mapped"] != found["mapped"]:
        notes.append(
            f"the published rules would map {found['static']['mapped']} operators; "
            "the compiler's answer counts"
        )
    if cut := found["cut"]:
        notes.append(
            f"the graph is cut at operator {cut['number']}, {cut['operator']} '{cut['name']}': "
            "it and what follows from it run on the processor"
        )
    said = set()
    for row in found["table"]:
        if not row["mapped"] and row["reason"] != verdict_job.AFTER:
            text = f"{row['operator']} '{row['name']}' on the processor: {row['reason']}"
            if row["operator"] not in said:
                notes.append(f"{text} ({row['remedy']})" if row["remedy"] else text)
            said.add(row["operator"])
    unsure = sorted({row["operator"] for row in found["table"] if row["unsure"]})
    if unsure and _static(found):
        notes.append(
            f"{', '.join(unsure)}: by size the compiler may still leave them on the processor; "
            "its bounds are not published"
        )
    if spilled := found["parameter_memory"]["off_chip"]:
        notes.append(
            f"{spilled / MIB:.2f} MiB of parameters do not fit and are streamed over the bus for "
            "each inference; a smaller model would be faster"
        )
    return notes


def _static(found: dict[str, Any]) -> bool:
    return found["compiler"] is None
