"""The vendor's tools: run with limits, followed, read; missing or failing ones are named.

No vendor's tool is at hand: a stand-in prints what they print and leaves reports of their form.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from edgeflow import targets
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.errors import Interrupted, ToolError
from edgeflow.jobs import Event, Job, Runner
from edgeflow.report import schema
from edgeflow.store import Store
from edgeflow.synthesis import vendor_tools
from edgeflow.synthesis.vendor_phases import Phases

SAMPLES = Path(__file__).parents[2] / "synthesis" / "vendor_samples.py"
spec = importlib.util.spec_from_file_location("vendor_samples", SAMPLES)
assert spec is not None
samples = importlib.util.module_from_spec(spec)
sys.modules["vendor_samples"] = samples
spec.loader.exec_module(samples)  # type: ignore[union-attr]

BANNER = "echo '***** {0} *****'; {1} echo '***** {0} COMPLETED IN 0h0m1s *****'\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the backend hands to the tools."""
    folder = tmp_path / "made" / "net"
    (folder / "firmware").mkdir(parents=True)
    (folder / "firmware" / "net.cpp").write_text(samples.SOURCE)
    (folder / "build_prj.tcl").write_text("# script\n")
    (folder / "design.tcl").write_text("# script\n")
    return folder


def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> Path:
    """A program on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    if str(folder) not in os.environ["PATH"]:
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return path


def leave(*steps: str) -> str:
    """The stand-in's words for leaving reports."""
    return f"{sys.executable} {SAMPLES} write . net {' '.join(steps)}"


def hls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *steps: str, name: str = "vitis-run"
) -> None:
    text = BANNER.format("C/RTL SYNTHESIS", "echo \"INFO: [HLS 200-10] Analyzing design file 'firmware/net.cpp' ... \"\n")  # fmt: skip
    if "cosim" in steps:
        text += BANNER.format("C/RTL SIMULATION", 'echo "// RTL Simulation : 3 / 10 [n/a]"; ')
    if "vsynth" in steps:
        text += BANNER.format("VIVADO SYNTHESIS", "echo 'Starting Technology Mapping : Time (s)';")
    tool(tmp_path, monkeypatch, name, f"set -e\n{text}{leave(*steps)}")


def run(
    runner: Runner, project: Path, steps: tuple[str, ...] | None = None, compiler: str = "vitis",
    **limits: float,
) -> object:  # fmt: skip
    plan = vendor_tools.plan(compiler, "net", steps)
    plan.pop("left_out")
    job = Job(
        "edgeflow.backends.hls4ml.synthesis_job:synthesise", "tflite_runtime", "synthesise",
        {"project": project}, plan, limits={"timeout": 60, "memory": 2**32, **limits},
    )  # fmt: skip
    return runner.run(job)


def test_every_step_is_run_followed_and_kept(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ("csynth", "cosim", "vsynth", "export")
    hls(tmp_path, monkeypatch, *steps)
    tool(tmp_path, monkeypatch, "vivado", "true")
    seen: list[str] = []

    def listen(event: Event) -> None:
        if event.text:
            seen.append(f"{event.done:g}/{event.total:g} {event.text}")

    with Runner(Store(tmp_path / "store"), listener=listen) as runner:
        finished = run(runner, project, steps)
    assert finished.result == {"steps": list(steps), "kept": ["reports", "ip", "hdl"]}  # type: ignore[attr-defined]
    folder = finished.path  # type: ignore[attr-defined]
    assert (folder / "reports" / "net_prj" / "solution1" / "syn" / "report").is_dir()
    assert (folder / "reports" / "firmware" / "net.cpp").is_file()  # it names the layers
    assert (folder / "ip" / "xilinx_com_hls_net_1_0.zip").is_file()
    assert (folder / "hdl" / "net.v").is_file()
    assert not list(project.glob("net_prj"))  # the project itself stays as it was
    assert "0/4 C synthesis: reading firmware/net.cpp" in seen
    assert "1/4 co-simulation: input 3 of 10" in seen
    assert "2/4 logic synthesis: Technology Mapping" in seen
    assert "3/4 logic synthesis: done" in seen


def test_switches_of_the_build_script(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vitis reads them from a file, the older tools from their arguments."""
    tool(tmp_path, monkeypatch, "vitis_hls", f'cat build_opt.tcl; echo "$@"; {leave("csynth")}')
    with Runner(Store(tmp_path / "store")) as runner:
        finished = run(runner, project, ("csynth",))
        log = (finished.path.parent / "log.txt").read_text()  # type: ignore[attr-defined]
        assert "synth      1\n    cosim      0" in log
        assert "-f build_prj.tcl" in log
        steps = ("csim", "csynth", "bitstream")
        tool(tmp_path, monkeypatch, "vivado_hls", f'echo "$@"; {leave("csynth", "export")}')
        tool(tmp_path, monkeypatch, "vivado", f'echo "$@"; {leave("bitstream")}')
        finished = run(runner, project, steps, "vivado_accelerator")
    log = (finished.path.parent / "log.txt").read_text()  # type: ignore[attr-defined]
    assert "-f build_prj.tcl reset=1 csim=1 synth=1 cosim=0" in log
    assert "export=1" in log
    assert "-mode batch -source design.tcl" in log
    assert (finished.path / "bitstream" / "design_1_wrapper.bit").is_file()  # type: ignore[attr-defined]


def test_time_limit_ends_all_that_the_tool_started(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "echo '***** C/RTL SYNTHESIS *****'\necho \"-- Implementing module 'dense_config2'\"\n"
    tool(tmp_path, monkeypatch, "vitis-run", f"{text}sleep 98765 &\nwait")
    started = time.monotonic()
    with (
        Runner(Store(tmp_path / "store")) as runner,
        pytest.raises(ToolError, match=r"vitis-run ran past its time limit of [\d.]+ s") as caught,
    ):
        run(runner, project, ("csynth",), timeout=2)
    assert time.monotonic() - started < 20
    assert "C synthesis: Implementing dense_config2 (0 of 1 steps done)" in str(caught.value)
    assert "synthesis_timeout" in str(caught.value.remedy)
    assert not running("98765")


def test_memory_limit(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hog = f"{sys.executable} -c 'x = bytearray(400_000_000); import time; time.sleep(60)'"
    tool(tmp_path, monkeypatch, "vitis-run", f"echo '***** C/RTL SYNTHESIS *****'\n{hog} &\nwait")
    with (
        Runner(Store(tmp_path / "store")) as runner,
        pytest.raises(ToolError, match="memory limit of 191 MiB") as caught,
    ):
        run(runner, project, ("csynth",), memory=200_000_000)
    assert "it came as far as: C synthesis" in caught.value.details[0]
    assert "synthesis_memory_gb" in str(caught.value.remedy)


def test_an_interrupt_ends_the_tool(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(
        tmp_path,
        monkeypatch,
        "vitis-run",
        "echo '***** C/RTL SYNTHESIS *****'\nsleep 87654 &\nwait",
    )
    begun = threading.Event()

    def listen(event: Event) -> None:
        if "C synthesis" in event.text:
            begun.set()

    with Runner(Store(tmp_path / "store"), listener=listen) as runner:

        def stop() -> None:
            begun.wait(30)
            runner.cancel()

        threading.Thread(target=stop).start()
        with pytest.raises(Interrupted):
            run(runner, project, ("csynth",))
    for _ in range(50):
        if not running("87654"):
            break
        time.sleep(0.1)
    assert not running("87654")


def running(word: str) -> bool:
    """Whether a process with this argument is there."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"sleep\0{word}" in path.read_text():
                return True
        except OSError:
            continue
    return False


def test_a_finished_synthesis_is_not_done_again_for_another_limit(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hls(tmp_path, monkeypatch, "csynth")
    with Runner(Store(tmp_path / "store")) as runner:
        assert not run(runner, project, ("csynth",), timeout=60).cached  # type: ignore[attr-defined]
        assert run(runner, project, ("csynth",), timeout=90).cached  # type: ignore[attr-defined]


def test_a_failure_says_why(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(
        tmp_path, monkeypatch, "vitis_hls",
        "echo '***** C/RTL SYNTHESIS *****'; echo 'ERROR: no licence for this part'; exit 1",
    )  # fmt: skip
    with (
        Runner(Store(tmp_path / "store")) as runner,
        pytest.raises(ToolError, match="vitis_hls failed with code 1 in C synthesis") as caught,
    ):
        run(runner, project, ("csynth",))
    assert caught.value.details == ("ERROR: no licence for this part",)
    log = str(caught.value.remedy).partition("(")[2].partition(")")[0]
    assert "no licence" in Path(log).read_text()  # the remedy says where the log is


def test_a_tool_that_ends_well_and_leaves_nothing(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hls(tmp_path, monkeypatch, "csynth")
    tool(tmp_path, monkeypatch, "vivado", "true")
    with (
        Runner(Store(tmp_path / "store")) as runner,
        pytest.raises(ToolError, match="left nothing of the step cosim, vsynth"),
    ):
        run(runner, project, ("csynth", "cosim", "vsynth"))


def test_no_tool_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="Vitis HLS is not on PATH") as caught:
        BACKEND.check_tools("My net", targets.load("pynq-z2"), BACKEND.options({}, "here"))
    text = str(caught.value)
    for words in (
        "vitis-run",
        "vitis_hls",
        "$EDGEFLOW_VITIS_RUN",
        "settings64.sh",
        "--from-synthesis",
    ):
        assert words in text
    with pytest.raises(ToolError, match="Intel HLS compiler is not on PATH"):
        vendor_tools.plan("quartus", "net")
    with pytest.raises(ToolError, match="runs no tool for the compiler 'catapult'"):
        vendor_tools.plan("catapult", "net")
    monkeypatch.setenv("EDGEFLOW_VITIS_RUN", "/nowhere/vitis-run")
    with pytest.raises(ToolError, match=r"\$EDGEFLOW_VITIS_RUN, found nothing that runs"):
        vendor_tools.plan("vitis", "net")


def test_a_variable_names_a_tool_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tool(tmp_path, monkeypatch, "my-vitis", "true")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("EDGEFLOW_VITIS_HLS", str(path))
    plan = vendor_tools.plan("vitis", "net")
    assert plan["commands"] == [("vitis_hls", [str(path), "-f", "build_prj.tcl"])]
    assert plan["left_out"] == ["vsynth (no vivado on PATH)"]  # nobody asked for it by name
    assert plan["steps"] == ["csynth"]
    with pytest.raises(ToolError, match="the step 'vsynth' needs a program"):
        vendor_tools.plan("vitis", "net", ["vsynth"])


def test_steps_that_a_compiler_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, "vitis-run", "true")
    with pytest.raises(ToolError, match="has no step 'bitstream'"):
        vendor_tools.plan("vitis", "net", ["bitstream"])
    plan = vendor_tools.plan("vitis", "net", ["export"])
    assert plan["steps"] == ["csynth", "export"]  # it builds on the synthesis


def test_quartus(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("i++", "quartus_sh"):
        tool(tmp_path, monkeypatch, name, "true")
    lib = "net-fpga.prj/reports/lib"
    files = {
        "report_data.js": samples.AREA_JS,
        "quartus_data.js": samples.QUARTUS_JS,
        "verification_data.js": samples.VERIFICATION_JS,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    program = "printf '#!/bin/sh\\ntrue\\n' > net-fpga; chmod +x net-fpga"
    copies = "; ".join(f"cp {tmp_path}/{name} {lib}" for name in files)
    tool(
        tmp_path, monkeypatch, "make",
        f'test "$1 $3" = "net-fpga QUARTUS_COMPILE=--quartus-compile" || exit 3\n'
        f"echo 'Optimizing component(s) and generating Verilog files'\n"
        f"mkdir -p {lib}; {copies}; {program}",
    )  # fmt: skip
    with Runner(Store(tmp_path / "store")) as runner:
        finished = run(runner, project, ("csynth", "cosim", "vsynth"), "quartus")
    assert finished.result["kept"] == ["reports"]  # type: ignore[attr-defined]
    assert (finished.path / "reports" / lib / "quartus_data.js").is_file()  # type: ignore[attr-defined]


def test_phases_of_other_tools() -> None:
    phases = Phases(["bitstream"])
    for line, text in (
        ("Starting Placer Task", "Placer"),
        ("Phase 2.1 Floorplanning | Checksum: 1a2b", "phase 2.1, Floorplanning"),
        ("Info (293000): Running Quartus Prime Fitter", "Quartus Fitter"),
        ("Creating bitstream...", "Creating bitstream"),
    ):
        assert phases.line(line)
        assert phases.text == text
    assert not phases.line("INFO: nothing of note")
    for number in range(7):
        phases.line(f"ERROR: {number}")
    assert phases.errors == [f"ERROR: {number}" for number in range(2, 7)]


def test_the_report_has_a_place_for_it() -> None:
    assert "VendorSynthesis" in schema.json_schema()["$defs"]
