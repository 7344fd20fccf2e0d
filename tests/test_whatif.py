"""What-if questions: what a target becomes, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeflow import estimating, targets, whatif
from edgeflow.errors import EdgeflowError, InputError, TargetError
from edgeflow.estimate.power import RATED
from edgeflow.network import Layer, Network, Weight

NETWORK = Network(
    "n",
    (
        Layer("x", "input", (), (), (16,)),
        Layer("fc", "dense", ("x",), ((16,),), (8,), {}, {"kernel": Weight((16, 8), 6)}, macs=128),
    ),
    ("x",),
    ("fc",),
)


def test_the_target_is_replaced_and_stays_as_it_was() -> None:
    own = targets.load("nucleo-u575zi-q")
    before = own.to_json()
    asked = whatif.apply(own, 80, "x-cube-ai", {"memory.ram": 1000, "flash": 2e6, "bus": "usb2"})
    assert (asked.clock_mhz, asked.settings["runtime"]) == (80, "x-cube-ai")
    assert asked.settings["rated_clock_mhz"] == own.clock_mhz == 160
    assert asked.settings["bus"] == "usb2"
    ram = asked.figure("memory", "ram")
    assert ram is not None
    assert ram.value == 1000
    assert asked.source_of(ram) == "given with the question (--set)"
    assert own.to_json() == before
    taken = whatif.apply(own, settings={"power.chip_active": None})
    assert taken.figure("power", "chip_active") is None
    assert "--set" in taken.why_unknown("power", "chip_active")


def test_a_runtime_that_the_vendors_own_is_a_build_of() -> None:
    mvp, plain = targets.load("xg24-dk2601b"), targets.load("nucleo-l4r5zi")
    assert whatif.apply(mvp, runtime="tflm").settings["runtime"] == "vendor"
    assert whatif.apply(mvp, runtime="tflm-cmsis-nn").settings["runtime"] == "tflm-cmsis-nn"
    assert whatif.apply(plain, runtime="tflm").settings["runtime"] == "tflm"


def test_a_clock_that_no_fpga_has_is_remarked() -> None:
    board = targets.load("pynq-z2")
    (said,) = whatif.remarks(whatif.apply(board, 5000), board)
    assert "5000 MHz is above" in said
    assert whatif.remarks(whatif.apply(board, 500), board) == []


def test_operations_per_second_go_with_the_clock() -> None:
    own = next(t for t in targets.load_all().values() if t.figure("compute", "int8_ops"))
    assert own.clock_mhz
    before, after = (
        t.figure("compute", "int8_ops") for t in (own, whatif.apply(own, own.clock_mhz / 2))
    )
    assert before is not None
    assert after is not None
    assert after.value == pytest.approx(before.value / 2)


@pytest.mark.parametrize("clock", [0, -5, float("nan"), float("inf")])
def test_clocks_that_cannot_be(clock: float) -> None:
    with pytest.raises(InputError, match="clock"):
        estimating.estimate_targets(lambda: NETWORK, ["pynq-z2"], clock_mhz=clock)


def test_contradictions_are_all_named() -> None:
    with pytest.raises(TargetError) as refused:
        whatif.apply(
            targets.load("pynq-z2"), settings={"chip_active": 9, "board_active": 1, "ram": 0}
        )
    text = str(refused.value)
    assert "chip_active is 9 W, above power.board_active, 1 W" in text
    assert "memory.ram is 0 bytes" in text


def test_shipped_targets_do_not_contradict_themselves() -> None:
    found = {name: whatif.contradictions(one) for name, one in targets.load_all().items()}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_unknown_keys_are_one_error() -> None:
    with pytest.raises(InputError) as refused:
        estimating.estimate_targets(
            lambda: NETWORK, ["pynq-z2"], settings={"lutt": 3, "reuse_facter": 4, "zzz": 1}
        )
    text = str(refused.value)
    assert "did you mean 'lut'" in text
    assert "did you mean 'reuse_factor'" in text
    assert "'zzz'" in text
    with pytest.raises(InputError, match="did you mean 'tflm'"):
        estimating.estimate_targets(lambda: NETWORK, ["pynq-z2"], runtime="tflmm")
    with pytest.raises(EdgeflowError, match="did you mean 'latency'"):
        estimating.estimate_targets(lambda: NETWORK, ["pynq-z2"], settings={"strategy": "latncy"})
    with pytest.raises(EdgeflowError, match=r"my-board\.yaml.*like: pynq-z2"):
        estimating.estimate_targets(lambda: NETWORK, ["pinq-z2"])


def test_a_setting_goes_to_the_targets_that_know_it() -> None:
    entries = estimating.estimate_targets(
        lambda: NETWORK,
        ["pynq-z2", "nucleo-u575zi-q"],
        settings={"layers.fc.reuse_factor": 16, "strategy": "resource", "clock_ns": 5},
    )
    fpga, board = entries["pynq-z2"], entries["nucleo-u575zi-q"]
    assert fpga["estimates"]["ii"]["value"] >= 16
    cycles, seconds = (fpga["estimates"][name]["value"] for name in ("latency_cycles", "latency"))
    assert seconds == pytest.approx(cycles * 5e-9)
    assert any("'strategy' was left out" in note for note in board["notes"])
    assert any("above the 160 MHz" in note for note in board["notes"])


def test_every_setting_that_an_estimator_reads_can_be_given() -> None:
    """`--set` refuses keys that nobody reads, so it must know those that somebody does."""
    package = Path(estimating.__file__).parent
    files = [*package.glob("estimate/*.py"), *package.glob("backends/*/*.py")]
    pattern = re.compile(r"target\.settings(?:\.get\(|\[)\"(\w+)\"")
    read = {name for path in files for name in pattern.findall(path.read_text())}
    shipped = {key for one in targets.load_all().values() for key in one.settings}
    assert read - shipped - set(whatif.SETTINGS) - {RATED} == set()


def test_a_target_described_in_place() -> None:
    mine = "{like: nucleo-u575zi-q, name: mine, clock_mhz: 80, memory: {ram: 1000, flash: null}}"
    plain = (
        "{kind: fpga, name: own, chip: xc7a35tcpg236-1, clock_mhz: 100, "
        "resources: {lut: 20800, ff: 41600, dsp: 90, bram_18k: 100}}"
    )
    found = estimating.ask([mine, plain], estimating.Question())
    ram = found[0].target.figure("memory", "ram")
    assert ram is not None
    assert ram.value == 1000
    assert found[0].target.figure("memory", "flash") is None
    assert (found[0].target.name, found[0].target.clock_mhz) == ("mine", 80)
    assert (found[1].target.architecture, found[1].backend.name) == ("artix-7", "hls4ml")
    entries = estimating.estimate_targets(lambda: NETWORK, [mine, plain])
    assert entries["own"]["estimates"]["lut"]["value"] > 0
    assert entries["mine"]["estimates"]["latency"]["value"] > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{a", "description"),
        ("{kind: fpgaa, name: x}", "did you mean 'fpga'"),
        ("{kind: fpga, chip: abc}", "abc"),
        ("{like: pinq-z2}", "did you mean 'pynq-z2'"),
        ("{kind: mcu, clok_mhz: 3}", "did you mean 'clock_mhz'"),
        ("{kind: mcu, clock_mhz: -3}", "clock_mhz"),
        ("{kind: mcu, power: {board_idle: 3, board_active: 1}}", "contradict"),
    ],
)
def test_a_description_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(TargetError, match=words):
        estimating.ask([text], estimating.Question())


def test_an_explorer_says_what_an_estimate_says() -> None:
    settings = {"reuse_factor": 16, "strategy": "resource", "precision": "ap_fixed<8,3>"}
    explorer = estimating.Explorer(NETWORK, "pynq-z2", calibration=Path("none"))
    first = {name: figure.to_json() for name, figure in explorer.at(settings).items()}
    explorer.at({"reuse_factor": 4})
    again = {name: figure.to_json() for name, figure in explorer.at(settings).items()}
    whole = estimating.estimate_targets(
        lambda: NETWORK, ["pynq-z2"], settings=settings, calibration=Path("none")
    )
    assert first == again == whole["pynq-z2"]["estimates"]
    with pytest.raises(InputError, match="reuse_factor"):
        explorer.at({"reusefactor": 4})
