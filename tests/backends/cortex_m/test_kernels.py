"""Every kernel in many geometries: not one bit differs from tflite-runtime's reference kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow.backends.cortex_m.emit_job import KERNELS
from edgeflow.backends.cortex_m.firmware_job import CORES
from tests.backends.cortex_m.conftest import INPUTS, Cases
from tests.backends.cortex_m.driver import STRICT, compile_all, in_qemu, on_host


def test_every_case_has_a_kernel(cases: Cases) -> None:
    assert {name: case["fault"] for name, case in cases.about.items() if case["fault"]} == {}


def test_all_is_exact_on_this_machine(cases: Cases, tmp_path: Path) -> None:
    (tmp_path / "inputs.bin").write_bytes(cases.inputs())
    outputs = on_host(cases.known, cases.folder / "plain", tmp_path, INPUTS)
    assert cases.differing(outputs) == {}


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_all_is_exact_in_qemu(cases: Cases, tmp_path: Path, core: str) -> None:
    """One core of each kind of instructions: plain, DSP, Helium."""
    from edgeflow.backends.cortex_m import firmware_job

    (tmp_path / "inputs.bin").write_bytes(cases.inputs())
    library = cases.folder / ("dsp" if firmware_job.CORES[core].dsp else "plain")
    assert cases.differing(in_qemu(cases.known, library, tmp_path, INPUTS, core)) == {}


@pytest.mark.parametrize("core", ["host", "cortex-m3", "cortex-m7", "cortex-m33"])
def test_the_kernels_compile_without_a_warning(tmp_path: Path, core: str) -> None:
    compiler = ["gcc"]
    if core != "host":
        compiler = ["arm-none-eabi-gcc", f"-mcpu={CORES[core].cpu}", *CORES[core].options]
    files = sorted(KERNELS.glob("*.c"))
    assert len(compile_all([*compiler, "-O2", *STRICT], files, tmp_path / core)) == len(files)
