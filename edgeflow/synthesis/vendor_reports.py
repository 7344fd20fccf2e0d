"""Finds the reports of vendors' tools in a folder, and puts what they say into one record.

HLS, logic synthesis (or place and route) and co-simulation stay apart: what HLS says of LUTs is
1.4 to 4.6 times what logic synthesis then makes of it. Standard library alone: jobs import it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import InputError
from edgeflow.synthesis import vendor_hls, vendor_intel, vendor_text, vendor_vivado

Record = dict[str, Any]

FORMAT: Final = "edgeflow.vendor-reports/1"
SOUGHT: Final = (
    "*_csynth.xml", "csynth.xml", "*_csynth.rpt", "*_cosim.rpt", "vivado_synth.rpt", "util.rpt",
    "*utilization*.rpt", "*timing*.rpt", "export_syn.xml", "export_impl.xml",
    "report_data.js", "verification_data.js", "quartus_data.js", "*.fit.summary",
)  # fmt: skip
"""Names of reports, for the message where there is none."""

SKIPPED: Final = {".autopilot", ".Xil", ".git", "__pycache__", "ap_types", "nnet_utils", "weights"}
"""Folders in which no report lies (``.autopilot`` holds the compiler's own notes)."""

FILES: Final = 200_000
"""More files than this are no project."""

COUNTS: Final = ("lut", "ff", "dsp", "bram_18k", "uram", "alm", "alut", "ram", "mlab")


def gather(folder: Path) -> Record:
    """Read every report in a folder and below it.

    Returns:
        ``format``, ``top``, ``part``, ``clock_target_ns``;
        ``hls``, ``logic``, ``system`` (a whole board design around the core), each None or a
        record with ``tool``, ``version``, ``file``, counts (`COUNTS`, some with ``available_…``)
        and times as their readers say;
        ``cosim``: None or ``passed``, ``latency_cycles``, ``ii``;
        ``layers``: a list of ``number``, ``layer`` (its name, None where no sources lie there),
        ``module``, ``hls`` and ``logic`` (counts, latency, II), in the network's order;
        ``files``: the reports that were read, by their paths in the folder.

    Raises:
        InputError: there is no folder or no report (the names that were looked for are named), a
            report is damaged (all are named), or two designs lie there.
    """
    if not folder.is_dir():
        raise InputError("expected a folder with reports of a vendor's tool", where=str(folder))
    reader = _Reader(folder)
    for path in _files(folder):
        reader.take(path)
    return reader.result()


class _Reader:
    """Reads files as they come, and puts them together at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: dict[Path, dict[str, Record]] = {}
        self.whole: dict[Path, Path] = {}
        self.texts: dict[Path, list[Path]] = {}
        self.cosims: dict[str, Record] = {}
        self.logic: list[Record] = []
        self.timing: list[Record] = []
        self.intel: Record | None = None
        self.sources: list[Path] = []
        self.files: list[str] = []
        self.faults: list[InputError] = []

    def take(self, path: Path) -> None:
        """Read a file that has the name of a report."""
        try:
            if self._take(path):
                self.files.append(path.relative_to(self.folder).as_posix())
        except InputError as error:
            self.faults.append(error)

    def _take(self, path: Path) -> bool:
        name = path.name
        if name == "csynth.xml":
            self.whole[path.parent] = path
        elif name.endswith("_csynth.xml"):
            module = name.removesuffix("_csynth.xml")
            record = {**vendor_hls.read_csynth(path), "file": self._relative(path)}
            self.modules.setdefault(path.parent, {})[module] = record
        elif name.endswith("_cosim.rpt"):
            found = vendor_hls.read_cosim(path)
            if found is None:
                return False
            self.cosims[name.removesuffix("_cosim.rpt")] = self._with_transactions(path, found)
        elif name.endswith("_csynth.rpt"):
            self.texts.setdefault(path.parent, []).append(path)
            return False
        elif name.endswith(".rpt"):
            return self._vivado(path)
        elif re.fullmatch(r"(export|vivado)_(syn|impl)\.xml|.*_export\.xml", name):
            return self._logic(vendor_vivado.read_export(path), path)
        else:
            return self._take_intel(path)
        return True

    def _take_intel(self, path: Path) -> bool:
        name = path.name
        if name == "report_data.js":
            return self._hls(vendor_intel.read_area(path), path)
        if name == "verification_data.js":
            found = vendor_intel.read_verification(path)
            if found:
                self.cosims[_project_of(path)] = found
            return found is not None
        if name in ("quartus_data.js", "quartus.json", "quartus.ndjson"):
            return self._logic(vendor_intel.read_quartus(path), path)
        if name.endswith(".fit.summary"):
            return self._logic(vendor_intel.read_fit_summary(path), path)
        self.sources.append(path)
        return False

    def _vivado(self, path: Path) -> bool:
        if self._logic(vendor_vivado.read_utilisation(path), path):
            return True
        if "timing" in path.name and (found := vendor_vivado.read_timing(path)):
            self.timing.append(found)
            return True
        return False

    def _logic(self, record: Record | None, path: Path) -> bool:
        if record is None:
            return False
        self.logic.append({**record, "file": self._relative(path)})
        return True

    def _hls(self, record: Record | None, path: Path) -> bool:
        if record is None:
            return False
        self.intel = {**record, "top": _project_of(path), "file": self._relative(path)}
        return True

    def _with_transactions(self, path: Path, found: Record) -> Record:
        pattern = f"{found['rtl']}/*.performance.result.transaction.xml"
        for file in sorted(path.parent.parent.glob(pattern)):
            more = vendor_hls.read_transactions(file)
            return {**found, **{key: value for key, value in more.items() if value is not None}}
        return found

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def result(self) -> Record:
        """All that was read, as one record."""
        if len(self.faults) == 1:
            raise self.faults[0]
        if self.faults:
            raise InputError(
                f"{len(self.faults)} reports cannot be read",
                where=str(self.folder),
                details=[str(fault).splitlines()[0] for fault in self.faults],
                remedy="copy the folder again, or synthesise again",
            )
        top, hls, modules = self._design()
        if hls is None and not self.logic:
            raise InputError(
                "no report of a vendor's tool lies in this folder or below it",
                where=str(self.folder),
                details=[f"looked for: {', '.join(SOUGHT)}"],
                remedy="name the folder of the project that was synthesised (it holds "
                "NAME_prj/solution1/syn/report), or copy the reports from where they were made",
            )
        logic, system = self._choose(top)
        layers = self._layers(modules, logic)
        for record in (logic, system):
            if record is not None:
                record.pop("modules", None)
        part = next(
            (one.get("part") for one in (hls, logic, system) if one and one.get("part")), None
        )
        cosim = self.cosims.get(str(top)) or next(iter(self.cosims.values()), None)
        targets = [one.get("clock_target_ns") for one in (hls, logic) if one]
        return {
            "format": FORMAT,
            "top": top or (logic or {}).get("design"),
            "part": part,
            "clock_target_ns": next((value for value in targets if value), None),
            "hls": hls,
            "logic": logic,
            "system": system,
            "cosim": cosim,
            "layers": layers,
            "files": sorted(self.files),
        }

    def _design(self) -> tuple[str | None, Record | None, dict[str, Record]]:
        """The top function, its HLS report, and its modules' ones."""
        if not self.modules and not self.whole:
            self._read_texts()
        found: dict[str, tuple[Record, dict[str, Record]]] = {}
        for folder in sorted({*self.modules, *self.whole}, key=_age):
            modules = dict(self.modules.get(folder, {}))
            if folder in self.whole:
                record = {
                    **vendor_hls.read_csynth(self.whole[folder]),
                    "file": self._relative(self.whole[folder]),
                }
                for name, module in vendor_hls.read_modules(self.whole[folder]).items():
                    modules.setdefault(name, module)
            else:
                record = modules[_top_of(folder, modules)]
            top = str(record.pop("top"))
            modules.pop(top, None)
            record["tool"] = _hls_tool(str(record.get("version")))
            found[top] = (record, modules)
        if len(found) > 1:
            raise InputError(
                "expected the reports of one design, found several",
                where=str(self.folder),
                details=sorted(found),
                remedy="name the folder of one of them",
            )
        for top, (record, modules) in found.items():
            return top, record, modules
        if self.intel:
            return self.intel.pop("top"), self.intel, {}
        return None, None, {}

    def _read_texts(self) -> None:
        """Take HLS' reports from their text, where no XML lies there."""
        for folder, paths in self.texts.items():
            for path in paths:
                read = vendor_text.read_csynth_text(path)
                if read is None:
                    continue
                record, modules = read
                known = self.modules.setdefault(folder, {})
                known[str(record["top"])] = {**record, "file": self._relative(path)}
                for name, module in modules.items():
                    known.setdefault(name, module)
                self.files.append(self._relative(path))

    def _choose(self, top: str | None) -> tuple[Record | None, Record | None]:
        """The furthest report of the core's logic, and that of a board design around it."""
        cores: list[Record] = []
        systems: list[Record] = []
        for record in self.logic:
            design = str(record.get("design") or "")
            own = _is_core(design, top) or record["tool"] == "Quartus"  # it has no others
            inner = [
                {**record, **module, "design": module["module"]}
                for module in record.get("modules", ())
                if not own and top and _is_core(str(module.get("module")), top, inner=True)
            ]
            if own:
                cores.append(record)
            elif "lut" in record and _is_system(design):
                systems.append(record)
            cores += inner[:1]
        if not cores and not systems and len(self.logic) == 1 and top is None:
            cores = self.logic
        best = max(cores, key=_rank, default=None)
        if best is not None and best.get("clock_ns") is None:
            timing = [one for one in self.timing if one["stage"] == best.get("stage")]
            for one in timing[:1]:
                times = ("clock_ns", "clock_target_ns", "wns_ns")
                best = {**best, **{name: one[name] for name in times}}
        return best, max(systems, key=_rank, default=None)

    def _layers(self, modules: dict[str, Record], logic: Record | None) -> list[Record]:
        """One record per layer: its outermost module, which holds the inner ones."""
        names: dict[int, str] = {}
        for source in self.sources:
            names |= vendor_hls.layers_of(source)
        rows: dict[int, Record] = {}
        for module, record in modules.items():
            index = vendor_hls.layer_number(module)
            if index is None:
                continue
            row = rows.setdefault(index, _row(index, names))
            if row["hls"] is None or _size(record) > _size(row["hls"]):
                row["module"] = module
                row["hls"] = _figures(record)
        for record in (logic or {}).get("modules", ()):
            index = vendor_hls.layer_number(str(record["module"]))
            if index is None:
                continue
            row = rows.setdefault(index, _row(index, names))
            if row["logic"] is None or _size(record) > _size(row["logic"]):
                row["module"] = row["module"] or record["module"]
                row["logic"] = _figures(record)
        return [rows[index] for index in sorted(rows)]


def _row(index: int, names: dict[int, str]) -> Record:
    return {"number": index, "layer": names.get(index), "module": None, "hls": None, "logic": None}


def _figures(record: Record) -> Record:
    wanted = (*COUNTS, "latency_cycles", "ii")
    return {name: record[name] for name in wanted if record.get(name) is not None}


def _size(record: Record) -> tuple[float, float]:
    """An outer module has at least its inner ones' LUTs and latency."""
    cycles = record.get("latency_cycles") or [0, 0]
    return (float(record.get("lut") or 0), float(cycles[1]))


def _rank(record: Record) -> tuple[int, bool, bool]:
    stage = str(record.get("stage"))
    far = vendor_vivado.STATES.index(stage) if stage in vendor_vivado.STATES else -1
    return (far, record.get("clock_ns") is not None, bool(record.get("modules")))


def _is_core(design: str, top: str | None, inner: bool = False) -> bool:
    """Whether a design is the network; `inner`: as a module of a board design."""
    if design in ("bd_0_hls_inst_0", "bd_0_wrapper"):  # what export_design wraps around the core
        return True
    core = (top or design).removesuffix("_axi")
    names = (core, f"{core}_axi")
    return design in names or (inner and design.endswith(tuple(f"_{name}" for name in names)))


def _is_system(design: str) -> bool:
    return design.endswith("_wrapper")


def _top_of(folder: Path, modules: dict[str, Record]) -> str:
    """The whole design among modules: named as the project, or the largest."""
    for parent in folder.parents:
        if parent.name.endswith("_prj"):
            name = parent.name.removesuffix("_prj")
            for candidate in (f"{name}_axi", name):
                if candidate in modules:
                    return candidate
    whole = [name for name, record in modules.items() if "top" in record]
    return max(whole, key=lambda name: (_size(modules[name]), name))


def _age(folder: Path) -> tuple[float, Path]:
    """Of several solutions of one design, the newest comes last and wins."""
    return (folder.stat().st_mtime, folder)


def _project_of(path: Path) -> str:
    """The design of an ``NAME-fpga.prj`` or ``NAME.fpga.prj`` in which a report lies."""
    for parent in path.parents:
        if parent.suffix == ".prj":
            return re.sub(r"[-.]fpga$", "", parent.stem)
    return path.parent.name


def _hls_tool(version: str) -> str:
    """Vivado HLS became Vitis HLS with release 2020.1."""
    year = re.match(r"\d{4}", version)
    return "Vitis HLS" if year and int(year[0]) >= 2020 else "Vivado HLS"


def _files(folder: Path) -> Iterator[Path]:
    """Files that may be reports, and the network's C++ functions; in a fixed order."""
    seen = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        seen += len(files)
        if seen > FILES:
            raise InputError(
                f"expected a project's folder, found more than {FILES:,} files",
                where=str(folder),
                remedy="name the project's own folder",
            )
        for name in sorted(files):
            path = Path(place, name)
            report = name.endswith((".rpt", ".fit.summary", "_csynth.xml", "_export.xml")) or (
                name in EXACT
            )
            source = name.endswith(".cpp") and path.parent.name == "firmware"
            if (report or source) and not path.is_symlink():
                yield path


EXACT: Final = {
    "csynth.xml", "export_syn.xml", "export_impl.xml", "vivado_syn.xml", "vivado_impl.xml",
    "report_data.js", "verification_data.js", "quartus_data.js", "quartus.json", "quartus.ndjson",
}  # fmt: skip
