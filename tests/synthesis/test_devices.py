"""What a target is to the open tools, and the constraint files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow import targets
from edgeflow.errors import TargetError
from edgeflow.synthesis import cells, devices

OPEN = (
    "icebreaker",
    "icestick",
    "ice40-hx8k-b-evn",
    "ulx3s-25f",
    "ulx3s-85f",
    "tang-nano-9k",
    "tang-nano-20k",
)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("icebreaker", "ice40"),
        ("ulx3s-85f", "ecp5"),
        ("tang-nano-9k", "gowin"),
        ("pynq-z2", "xc7"),
        ("arty-a7-100t", "xc7"),
        ("zcu102", "xcup"),
        ("zcu104", "xcup"),
        ("alveo-u250", "xcup"),
        ("raspberry-pi-4", None),
        ("tpu-v4", None),
    ],
)
def test_each_fpga_has_its_family(name: str, family: str | None) -> None:
    assert devices.family(targets.load(name)) == family


def test_only_open_families_are_routed() -> None:
    routed = {name for name, target in targets.load_all().items() if devices.device(target)}
    assert routed == set(OPEN)


@pytest.mark.parametrize("name", OPEN)
def test_a_board_has_what_a_serial_design_needs(name: str) -> None:
    target = targets.load(name)
    assert target.pins["clk"].mhz == target.clock_mhz
    needed = {"uart_rx", "uart_tx", "spi_sck", "spi_cs_n", "spi_mosi", "spi_miso", "led_0"}
    assert needed <= set(target.pins)
    places = [pin.pin for pin in target.pins.values()]
    assert len(set(places)) == len(places), "no pin has two signals"
    file, text = devices.constraints(target, dict.fromkeys(target.pins, 1))
    assert file.startswith("pins.")
    for signal, pin in target.pins.items():
        (line,) = [x for x in text.splitlines() if signal in x.replace('"', " ").split()][:1]
        assert pin.pin in line.replace('"', " ").replace(";", " ").split()


def test_constraints_are_what_the_tools_read() -> None:
    ports = {"clk": 1, "uart_rx": 1, "led": 2}
    assert devices.constraints(targets.load("icebreaker"), ports) == (
        "pins.pcf",
        "set_io clk 35\nset_io -pullup yes uart_rx 6\nset_io led[0] 11\nset_io led[1] 37\n",
    )
    _, lpf = devices.constraints(targets.load("ulx3s-85f"), ports)
    assert 'LOCATE COMP "clk" SITE "G2";\n' in lpf
    assert 'IOBUF PORT "uart_rx" IO_TYPE=LVCMOS33 PULLMODE=UP;\n' in lpf
    assert 'LOCATE COMP "led[1]" SITE "C2";\n' in lpf
    _, cst = devices.constraints(targets.load("tang-nano-9k"), {"led": 2})
    assert 'IO_LOC "led[0]" 10;\nIO_PORT "led[0]" IO_TYPE=LVCMOS18 PULL_MODE=NONE;\n' in cst


def test_every_port_without_a_pin_is_named() -> None:
    target = targets.load("icebreaker")
    with pytest.raises(TargetError, match="3 ports of the design have no pin") as caught:
        devices.constraints(target, {"clk": 1, "led": 3, "vga": 1, "keys": 1})
    text = str(caught.value)
    assert "port 'led' bit 2" in text
    assert "port 'vga'" in text
    assert "port 'keys'" in text
    assert "uart_rx" in text  # the signals that there are
    with pytest.raises(TargetError, match="expected a target of ice40, ecp5, gowin"):
        devices.constraints(targets.load("pynq-z2"), {"clk": 1})


def test_a_file_that_does_not_say_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(targets.load("icebreaker").where)).read_text()
    (tmp_path / "icebreaker.yaml").write_text(text.replace("  device: up5k\n", ""))
    monkeypatch.setenv("EDGEFLOW_TARGETS", str(tmp_path))
    with pytest.raises(TargetError, match=r"settings\.device"):
        devices.device(targets.load("icebreaker"))


def test_how_much_over() -> None:
    target = targets.load("tang-nano-9k")
    assert devices.over({"lut": 8640, "ff": 6480, "dsp": 20, "carry": 10**6}, target) == []
    lut, ram = devices.over({"lut": 17280, "bram_18k": 27, "bram_4k": 0}, target)
    assert lut == "LUTs: needs 17,280, 'tang-nano-9k' has 8,640 (8,640 too many, 2.0x)"
    assert ram.startswith("block RAMs (18 Kbit): needs 27")


def test_counts_of_primitives() -> None:
    counted, strange = cells.count({"CCU2C": 3, "LUT4": 5, "PFUMX": 1, "DP16KD": 2}, "ecp5")
    assert counted == {"lut": 11, "ff": 0, "dsp": 0, "carry": 3, "mux": 1, "bram_18k": 2}
    assert strange == []
    assert cells.count({"SB_DFFESR": 4, "SB_MAC16": 1, "my_core": 1}, "ice40") == (
        {"lut": 0, "ff": 4, "dsp": 1},
        ["my_core"],
    )
    assert cells.count({"RAMB36E2": 2, "RAM64M": 1, "FDRE": 1}, "xcup")[0]["bram_18k"] == 4
