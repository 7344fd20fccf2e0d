"""The job that places and routes a netlist with nextpnr, and packs the bitstream."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import InputError, ToolError, UnsupportedError
from edgeflow.synthesis import cells, process, timing_job, tools

ADVICE: Final = (
    "a smaller design routes faster: `style: stream`, a larger reuse_factor; the options "
    "synthesis_timeout and synthesis_memory raise the limits"
)
SMALLER: Final = (
    "a larger reuse factor, `style: stream`, fewer bits or more pruning make it smaller; or "
    "choose a larger target"
)
WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9/_.-]*")
ARCS: Final = re.compile(r"^Info: Routing (\d+) arcs")
ROUTED: Final = re.compile(r"^Info:\s+\d+ \|\s+\d+\s+\d+ \|\s+\d+\s+\d+ \|\s+(\d+)")
STAGES: Final = (
    ("Packing", "packing"),
    ("Creating initial analytic placement", "placing"),
    ("Running simulated annealing", "refining the placement"),
    ("Routing", "routing"),
    ("Critical path", "timing"),
)
BITSTREAM: Final = {"ice40": "bitstream.bin", "ecp5": "bitstream.bit", "gowin": "bitstream.fs"}


def route(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Place and route ``inputs["netlist"]`` (the folder of `yosys_job.synthesise`).

    Params:
        device: `devices.Device.to_json`. constraints: the text of the pins' file.
        clock_mhz: the clock wished for. seed: of the placer. layers: prefixes by layer.
        place, pack: `tools.Tool.to_json` of nextpnr and of the packer; pack None: no bitstream.
        timeout (s), memory (bytes): limits of one program.

    Output: ``bitstream.bin|.bit|.fs``, ``pins.*``, ``report.json``, ``nextpnr.json`` (the tool's
    own report).

    Returns:
        ``utilisation`` {resource: {used, available}}, ``clocks`` {net: {reached_mhz,
        wished_mhz}}, ``clock_mhz`` (the slowest reached; None without a clock), ``met``,
        ``critical_path`` (`timing_job.critical_path`), ``bitstream`` (file name or None),
        ``notes`` (what the clock leaves out), ``tools``, ``seed``, ``seconds`` {place_and_route,
        pack}, ``peak_memory``.

    Raises:
        UnsupportedError: it does not fit; says by how much.
        ToolError: a program failed or ran past a limit.
    """
    device: Mapping[str, str] = params["device"]
    family = device["family"]
    for value in device.values():
        if value and not WORD.fullmatch(value):
            raise InputError(f"expected a device's name, found {value!r}")
    shutil.copyfile(inputs["netlist"] / "netlist.json", "netlist.json")
    place = tools.Tool.from_json(params["place"])
    pins = {"ice40": "pins.pcf", "ecp5": "pins.lpf", "gowin": "pins.cst"}[family]
    Path(pins).write_text(params["constraints"])
    variables = tools.prepare(place, progress)
    watch = _Log(progress, family, device["device"])
    limits = process.Limits(params["timeout"], params["memory"], params.get("advice") or ADVICE)
    ran = process.run(
        [*tools.command(place), *_arguments(device, pins, params)],
        name=place.name,
        limits=limits,
        cwd=Path(),
        environment=variables,
        on_line=watch,
    )
    if ran.code != 0:
        raise watch.failure(place.name, ran)
    packed, bitstream = 0.0, None
    programs = [place]
    if params.get("pack"):
        pack = tools.Tool.from_json(params["pack"])
        programs.append(pack)
        packed = _pack(pack, device, limits, progress)
        bitstream = BITSTREAM[family]
        shutil.move(bitstream, output / bitstream)
    raw = json.loads(Path("report.json").read_text())
    record = _report(raw, params, family)
    shutil.copyfile(pins, output / pins)
    (output / "nextpnr.json").write_text(json.dumps(raw, indent=1) + "\n")
    (output / "report.json").write_text(json.dumps(record, indent=1) + "\n")
    return {
        **record,
        "bitstream": bitstream,
        "tools": [program.seen() for program in programs],
        "seconds": {"place_and_route": round(ran.seconds, 3), "pack": round(packed, 3)},
        "peak_memory": ran.peak,
    }


def _arguments(device: Mapping[str, str], pins: str, params: Mapping[str, Any]) -> list[str]:
    family, name = device["family"], device["device"]
    common = [
        "--json", "netlist.json", "--report", "report.json", "--timing-allow-fail",
        "--freq", f"{float(params['clock_mhz']):g}", "--seed", str(int(params["seed"])),
    ]  # fmt: skip
    if family == "ice40":
        return [*common, f"--{name}", "--package", device["package"], "--pcf", pins,
                "--asc", "routed.asc"]  # fmt: skip
    if family == "ecp5":
        return [*common, f"--{name}", "--package", device["package"], "--speed", device["speed"],
                "--lpf", pins, "--textcfg", "routed.config"]  # fmt: skip
    return [*common, "--device", name, "--vopt", f"family={device['chip_family']}",
            "--vopt", f"cst={pins}", "--write", "routed.json"]  # fmt: skip


def _pack(
    tool: tools.Tool,
    device: Mapping[str, str],
    limits: process.Limits,
    progress: Callable[..., None],
) -> float:
    """Make the bitstream in the current folder; gives the seconds it took."""
    family = device["family"]
    name = BITSTREAM[family]
    arguments = {
        "ice40": ["routed.asc", name],
        "ecp5": ["--compress", "routed.config", name],
        "gowin": ["-d", device["chip_family"], "-o", name, "routed.json"],
    }[family]
    variables = tools.prepare(tool, progress)
    progress(0, 0, f"{tool.name}: packing the bitstream")
    ran = process.run(
        [*tools.command(tool), *arguments],
        name=tool.name, limits=limits, cwd=Path(), environment=variables,
    )  # fmt: skip
    if ran.code != 0 or not Path(name).is_file():
        raise ToolError(
            f"{tool.name} failed with code {ran.code}",
            details=list(ran.tail[-5:]),
            remedy="the design is routed, but its bitstream could not be packed",
        )
    return ran.seconds


class _Log:
    """Follows nextpnr's log: where it is, whether the design fits, what went wrong."""

    def __init__(self, progress: Callable[..., None], family: str, device: str) -> None:
        self.errors: list[str] = []
        self._progress = progress
        self._names = timing_job.RESOURCES[family]
        self._device = device
        self._over: list[str] = []
        self._counting = False
        self._arcs = 0

    def __call__(self, line: str) -> str | None:
        if not re.match(r"Info:\s+(at iteration|\d+ \||\[)", line):
            print(line, flush=True)
        if line.startswith("ERROR:"):
            self.errors.append(line.removeprefix("ERROR: "))
        used = timing_job.USED.match(line)
        if used:
            self._counting = True
            self._count(*used.groups())
        elif self._counting:
            self._counting = False
            if self._over:
                raise UnsupportedError(
                    f"the design does not fit {self._device}",
                    details=self._over,
                    remedy=SMALLER,
                )
        return self._place(line)

    def _count(self, kind: str, used: str, available: str) -> None:
        more = int(used) - int(available)
        if more > 0:
            self._over.append(
                f"{self._names.get(kind, kind)}: needs {int(used):,}, it has {int(available):,} "
                f"({more:,} too many)"
            )

    def _place(self, line: str) -> str | None:
        if arcs := ARCS.match(line):
            self._arcs = int(arcs.group(1))
        if (routed := ROUTED.match(line)) and self._arcs:
            done = self._arcs - int(routed.group(1))
            self._progress(max(done, 0), self._arcs, "routing")
            return f"routing ({done:,} of {self._arcs:,} connections)"
        for words, stage in STAGES:
            if line.startswith(f"Info: {words}"):
                self._progress(0, 0, stage)
                return stage
        return None

    def failure(self, name: str, ran: process.Ran) -> Exception:
        """The error for a program that ended badly."""
        text = " ".join(self.errors)
        if re.search(r"no B[Ee][Ll]s remaining|unable to (find|place)|too many", text, re.I):
            return UnsupportedError(
                f"the design does not fit {self._device}", details=self.errors, remedy=SMALLER
            )
        return ToolError(
            f"{name} failed with code {ran.code}",
            details=self.errors or list(ran.tail[-5:]),
            remedy="read its log; the device or its pins may not be what the design expects",
        )


def _report(raw: Mapping[str, Any], params: Mapping[str, Any], family: str) -> dict[str, Any]:
    prefixes = params.get("layers") or {}
    modules = json.loads(Path("netlist.json").read_text())["modules"]
    top = next(m for m in modules.values() if int(m["attributes"].get("top", "0"), 2))
    reached = timing_job.clocks(raw.get("fmax", {}))
    slowest = min((clock["reached_mhz"] for clock in reached.values()), default=None)
    used = timing_job.utilisation(raw["utilization"], family)
    if "ff" not in used:  # iCE40: the flip-flops are in the same cells as the LUTs
        kinds = Counter(cell["type"] for cell in top["cells"].values())
        number = cells.count(kinds, family)[0]["ff"]
        used["ff"] = {"used": number, "available": used["lut"]["available"]}
    return {
        "device": dict(params["device"]),
        "utilisation": used,
        "notes": timing_job.notes(raw["utilization"], family),
        "clocks": reached,
        "clock_mhz": slowest,
        "met": all(c["reached_mhz"] >= c["wished_mhz"] for c in reached.values()),
        "critical_path": timing_job.critical_path(
            raw, cells.layers_of_cells(top, prefixes), prefixes
        ),
        "seed": int(params["seed"]),
    }
