"""From a .tflite file to firmware by the pipeline; what cannot work is said once, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeflow
from edgeflow import targets
from edgeflow.backends.cortex_m import backend, firmware_job, limits
from edgeflow.backends.cortex_m.backend import BACKEND
from edgeflow.backends.cortex_m.operators_job import KERNELS
from edgeflow.errors import DataError, UnsupportedError
from edgeflow.jobs import Runner
from edgeflow.network import Layer, Network
from tests.backends.cortex_m.conftest import Cases

TINY = "models/mlperf_tiny"


@pytest.fixture(scope="module")
def network(cases: Cases) -> Path:
    """A small file: conv, from float to float."""
    return cases.folder / "conv_6x7x3x3x3x1x1_same.tflite"


def test_a_file_becomes_firmware_that_is_verified_in_qemu(
    network: Path, tmp_path: Path, runner: Runner
) -> None:
    report = edgeflow.compile(network, "qemu-mps2-an386", tmp_path, inputs=20, runner=runner)
    entry = report["targets"]["qemu-mps2-an386"]
    assert entry["verified"] is True
    runtimes = {check["runtime"]: check for check in entry["verification"]}
    assert {"generated C", "QEMU mps2-an386"} <= set(runtimes)
    estimates = entry["estimates"]
    assert estimates["instructions"]["method"] == "simulated"
    assert 1 <= estimates["instructions"]["value"] / estimates["macs"]["value"] < 8
    assert estimates["flash"]["value"] > estimates["parameters"]["value"]
    assert estimates["ram"]["value"] > estimates["activation_memory"]["value"]
    (table,) = entry["tables"]
    counts = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    total = sum(row["instructions"] for row in counts)
    assert total == pytest.approx(estimates["instructions"]["value"], rel=0.05)
    assert {"library", "firmware"} <= set(entry["artifacts"])
    library = next(tmp_path.rglob("ef_nn.h")).parent
    assert "infer(" in (library / "README.md").read_text()


def test_a_board_s_firmware_lies_in_its_own_memory(
    network: Path, tmp_path: Path, runner: Runner
) -> None:
    import subprocess

    report = edgeflow.compile(
        network, "nucleo-h7a3zi-q", tmp_path, backend="cortex_m", inputs=5, runner=runner
    )
    entry = report["targets"]["nucleo-h7a3zi-q"]
    assert entry["verified"] is True
    image = next(tmp_path.rglob("firmware.elf"))
    text = subprocess.run(
        ["arm-none-eabi-objdump", "-h", str(image)], capture_output=True, text=True, check=True
    ).stdout
    places = {line.split()[1]: line.split()[3] for line in text.splitlines() if " ." in line}
    assert places[".text"].startswith("0800")
    assert places[".bss"].startswith("2400")


def test_a_model_that_does_not_fit_is_told_by_how_much(
    network: Path, tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    text = Path(targets.load("nucleo-l4r5zi").where).read_text()
    text = text.replace("nucleo-l4r5zi", "tiny-board").replace("2097152", "2048")
    (mine / "tiny-board.yaml").write_text(text)
    monkeypatch.setenv("EDGEFLOW_TARGETS", str(mine))
    with pytest.raises(UnsupportedError) as caught:
        edgeflow.compile(
            network, "tiny-board", tmp_path / "out", backend="cortex_m", inputs=5, runner=runner
        )
    assert "there are 2,048" in str(caught.value) or "2.0" in str(caught.value)
    assert "flash" in str(caught.value)
    assert "or a target that holds it, such as nucleo-" in str(caught.value)


@pytest.mark.parametrize("target", ["qemu-mps2-an386", "ethos-u55-128", "coral-usb-accelerator"])
def test_a_float_file_needs_data_for_integers(
    data_root: Path, tmp_path: Path, runner: Runner, target: str
) -> None:
    file = data_root / TINY / "keyword_spotting/trained_models/kws_ref_model_float32.tflite"
    with pytest.raises(DataError, match="integer types need data to measure") as caught:
        edgeflow.compile(file, target, tmp_path, inputs=5, runner=runner)
    assert "--data" in (caught.value.remedy or "")


def test_without_the_cross_compiler_the_library_is_still_made(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeflow.store import Store

    programs = tmp_path / "bin"
    programs.mkdir()
    for path in (*Path("/usr/local/bin").glob("*"), *Path("/usr/bin").glob("*")):
        if not path.name.startswith(("arm-none-eabi", "qemu-")) and path.exists():
            link = programs / path.name
            if not link.exists():
                link.symlink_to(path)
    monkeypatch.setenv("PATH", str(programs))
    with Runner(Store(tmp_path / "store")) as own:
        report = edgeflow.compile(network, "qemu-mps2-an386", tmp_path / "o", inputs=5, runner=own)
    entry = report["targets"]["qemu-mps2-an386"]
    assert any("arm-none-eabi-gcc" in note for note in entry["notes"])
    assert entry["estimates"]["flash"]["method"] == "model"  # estimated, not linked
    assert "library" in entry["artifacts"]
    assert "firmware" not in entry["artifacts"]


def test_every_missing_kernel_is_named_at_once() -> None:
    layers = [
        Layer("x", "input", (), (4, 4, 2)),
        Layer("g", "gelu", ("x",), (4, 4, 2)),
        Layer("e", "elu", ("g",), (4, 4, 2)),
    ]
    found = limits.problems(Network("n", tuple(layers), ("x",), ("g", "e")))
    assert [problem.layer for problem in found] == ["g", "e", None]
    assert "GELU" in found[0].message
    assert "2 outputs" in found[2].message


def test_the_table_of_limits_has_every_kernel() -> None:
    names = {name for limit in BACKEND.limits() for name in limit.kinds}
    assert set(KERNELS) <= names


def test_both_lists_of_cores_agree() -> None:
    assert set(backend.CORES) == set(backend.MACHINES) == set(firmware_job.CORES)


def test_only_a_target_with_addresses_has_its_own_memory() -> None:
    assert backend.memory(targets.load("qemu-mps2-an385")) is None
    found = backend.memory(targets.load("nucleo-u575zi-q"))
    assert found == {"flash": (0x0800_0000, 2 << 20), "ram": (0x2000_0000, 768 << 10)}
