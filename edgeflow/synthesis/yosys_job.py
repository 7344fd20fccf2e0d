"""The job that turns Verilog into a netlist of a family's primitives, with yosys."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import InputError, ToolError
from edgeflow.synthesis import cells, process, tools

SOURCES: Final = (".v", ".sv")
IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]*")
HEADING: Final = re.compile(r"^([\d.]+)\. (.*)")
BIGGEST: Final = 2**28
"""Bytes of Verilog that are read at most."""

SCRIPTS: Final = {
    # family: the command, what keeps IO buffers away (nextpnr adds iCE40's itself), DSP on/off
    "ice40": ("synth_ice40 -device u", "", "-dsp", ""),
    "ecp5": ("synth_ecp5", "-noiopad", "", "-nodsp"),
    "gowin": ("synth_gowin -family gw1n", "-noiopads", "", "-nodsp"),
    "xc7": ("synth_xilinx -family xc7 -flatten", "-noiopad -noclkbuf", "", "-nodsp"),
    "xcu": ("synth_xilinx -family xcu -flatten", "-noiopad -noclkbuf", "", "-nodsp"),
    "xcup": ("synth_xilinx -family xcup -flatten", "-noiopad -noclkbuf", "", "-nodsp"),
}
ADVICE: Final = (
    "`style: stream` or a larger reuse_factor makes the design smaller; the options "
    "synthesis_timeout and synthesis_memory raise the limits"
)


def synthesise(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Synthesise the Verilog files of every input named ``verilog…`` (a folder or a file).

    Params:
        top: the top module. family: one of `cells.FAMILIES`. tool: `tools.Tool.to_json` of yosys.
        files: those of a folder to read, in this order (else all of it).
        out_of_context: no IO buffers (True); False for a design that goes to a board.
        dsp: whether multiplications may use DSP blocks. layers: instance prefix(es) by layer.
        device: a variant of the family (``hx``, ``lp``, ``u``; ``gw1n``, ``gw2a``).
        timeout (s), memory (bytes): limits.

    Output: ``netlist.json`` (yosys JSON, flat, names kept), ``utilisation.json``.

    Returns:
        ``top``, ``family``, ``utilisation`` {resource: count}, ``layers`` {layer: {resource:
        count}}, ``cells`` {primitive: count}, ``ports`` {name: {direction, width}}, ``tool``,
        ``warnings``, ``seconds`` and ``peak_memory`` (bytes).

    Raises:
        InputError: a name or family that cannot be, no Verilog.
        ToolError: yosys failed, or ran past a limit.
    """
    top, family = params["top"], params["family"]
    if not IDENTIFIER.fullmatch(top):
        raise InputError(f"expected the top module's name to be a Verilog one, found {top!r}")
    if family not in SCRIPTS:
        raise InputError(f"expected a family of {', '.join(SCRIPTS)}, found '{family}'")
    folder = Path("rtl")
    folder.mkdir()
    sources = _collect(inputs, params.get("files"), folder)
    tool = tools.Tool.from_json(params["tool"])
    variables = tools.prepare(tool, progress)
    Path("script.ys").write_text(_script(sources, params, _options(tool, params["family"])))
    watch = _Log(progress)
    ran = process.run(
        [*tools.command(tool), "-s", "../script.ys"],
        name="yosys",
        limits=process.Limits(params["timeout"], params["memory"], params.get("advice") or ADVICE),
        cwd=folder,
        environment=variables,
        on_line=watch,
    )
    if ran.code != 0:
        raise ToolError(
            f"yosys failed with code {ran.code}",
            details=watch.errors or list(ran.tail[-5:]),
            remedy="the Verilog is at fault, or yosys does not know a construct of it",
        )
    shutil.move("netlist.json", output / "netlist.json")
    record = _report(output / "netlist.json", params)
    (output / "utilisation.json").write_text(json.dumps(record, indent=1) + "\n")
    return {
        **record,
        "tool": tool.seen(),
        "warnings": watch.warnings,
        "seconds": round(ran.seconds, 3),
        "peak_memory": ran.peak,
    }


def _collect(inputs: dict[str, Path], wanted: list[str] | None, folder: Path) -> list[str]:
    """Copy the inputs' files, and what they may include or read, beside each other."""
    sources: list[str] = []
    size = 0
    for key in sorted(inputs):
        if not key.startswith("verilog"):
            continue
        root = inputs[key]
        files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
        base = root.parent if root.is_file() else root
        for path in files:
            name = path.relative_to(base).as_posix()
            if path.suffix not in (*SOURCES, ".vh", ".svh", ".mem", ".hex"):
                continue
            if not FILE_NAME.fullmatch(name) or ".." in name:
                raise InputError(f"expected a plain file name, found {name!r}")
            copy = folder / name
            if copy.exists():
                raise InputError(f"two inputs have a file named '{name}'")
            size += path.stat().st_size
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            if path.suffix in SOURCES and (root.is_file() or wanted is None or name in wanted):
                sources.append(name)
    missing = [name for name in wanted or () if name not in sources]
    if missing or not sources:
        raise InputError(
            "expected Verilog files, found none"
            if not missing
            else f"expected the Verilog files {', '.join(missing)}, found none of that name"
        )
    if size > BIGGEST:
        raise InputError(
            f"expected at most {BIGGEST >> 20} MiB of Verilog, found {size >> 20} MiB",
            remedy=ADVICE,
        )
    return sources


def _options(tool: tools.Tool, family: str) -> str | None:
    """What a native yosys says of the family's command: an old one lacks some options.

    None for the toolchain's, which has them all.
    """
    if tool.origin != "native":
        return None
    said = subprocess.run(
        [*tools.command(tool), "-p", f"help {SCRIPTS[family][0].split()[0]}"],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return said.stdout


def _script(sources: list[str], params: dict[str, Any], options: str | None) -> str:
    """The commands; ``options`` is the help in which an option must stand, None where all do."""
    family = params["family"]
    command, bare, dsp, no_dsp = SCRIPTS[family]
    device = str(params.get("device") or "")
    if device:
        if not re.fullmatch(r"[a-z0-9]+", device):
            raise InputError(f"expected a device variant, found {device!r}")
        command = f"{command.rpartition(' ')[0]} {device}"
    words = [command, "-top", params["top"], dsp if params.get("dsp", True) else no_dsp]
    if params.get("out_of_context", True):
        words += bare.split()
    if options is not None and (variant := " -family gw1n") in words[0] and "gw2a" not in options:
        words[0] = words[0].replace(variant, "")  # the only one that it has
    words = [
        word for word in words
        if options is None or not word.startswith("-no") or f" {word}\n" in options
    ]  # fmt: skip
    reads = [
        f"read_verilog -defer {'-sv ' if name.endswith('.sv') else ''}-I. {name}"
        for name in sources
    ]
    return "\n".join(
        [
            *reads,
            f"hierarchy -check -top {params['top']}",
            f"setattr -set {cells.READ} 1 i:*",
            " ".join(word for word in words if word),
            "delete t:$scopeinfo",
            "setattr -unset src -unset hdlname",
            "setattr -mod -unset src",
            "write_json ../netlist.json",
            "",
        ]
    )


class _Log:
    """Follows yosys' log: where it is, and what went wrong."""

    def __init__(self, progress: Callable[..., None]) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._progress = progress

    def __call__(self, line: str) -> str | None:
        if line.startswith("ERROR") or ": ERROR:" in line:
            self.errors.append(line)
        elif line.startswith("Warning:") and len(self.warnings) < 20:
            self.warnings.append(line.removeprefix("Warning: "))
        heading = HEADING.match(line)
        if not heading and not self.errors:
            return None
        print(line, flush=True)
        if not heading:
            return None
        number, text = heading.groups()
        if number.count(".") > 1:
            return None
        text = re.sub(r"^Executing (\S+) pass.*", r"\1", text)[:60]
        self._progress(0, 0, f"yosys {number} {text}")
        return f"step {number}: {text}"


def _report(netlist: Path, params: dict[str, Any]) -> dict[str, Any]:
    family, top = params["family"], params["top"]
    modules = json.loads(netlist.read_text())["modules"]
    if top not in modules:
        raise ToolError(f"yosys' netlist has no module '{top}'")
    module = modules[top]
    kinds = Counter(cell["type"] for cell in module["cells"].values())
    total, strange = cells.count(kinds, family)
    if strange:
        raise ToolError(
            f"the netlist holds cells that are no primitives of {family}: {', '.join(strange)}",
            remedy="a module that the design uses is not among its files, or yosys left a "
            "construct unmapped",
        )
    by_layer: dict[str, Counter[str]] = {}
    for name, layer in cells.layers_of_cells(module, params.get("layers") or {}).items():
        by_layer.setdefault(layer, Counter())[module["cells"][name]["type"]] += 1
    return {
        "top": top,
        "family": family,
        "utilisation": total,
        "layers": {
            layer: cells.count(by_layer[layer], family)[0]
            for layer in params.get("layers") or {}
            if layer in by_layer
        },
        "cells": dict(sorted(kinds.items())),
        "ports": {
            name: {"direction": port["direction"], "width": len(port["bits"])}
            for name, port in module["ports"].items()
        },
    }
