"""Power of microcontrollers and NPUs: the model's terms, and its errors on boards left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeflow import targets, whatif
from edgeflow.errors import InputError
from edgeflow.estimate import power, power_calibration, power_fpga
from edgeflow.estimate.quantity import Estimate
from edgeflow.network import Layer, Network
from edgeflow.targets import Target


def asked(name: str, clock_mhz: float | None = None, **settings: Any) -> Target:
    return whatif.apply(targets.load(name), clock_mhz, settings=settings)


def watts(name: str, clock_mhz: float | None = None, **settings: Any) -> float:
    found = power.chip_power(asked(name, clock_mhz, **settings))
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    return found.value


def boards() -> dict[str, Target]:
    return {board: targets.load(name) for board, name in power_calibration.BOARDS.items()}


def test_a_measured_board_draws_what_was_measured() -> None:
    assert watts("nucleo-u575zi-q") == pytest.approx(0.0254)
    assert watts("nucleo-l4r5zi", runtime="tflm") == pytest.approx(0.0406)
    assert watts("nucleo-l4r5zi", runtime="microtvm") == pytest.approx(0.0532)
    assert watts("nucleo-l4r5zi", runtime="edgeflow") == pytest.approx(0.044)


def test_later_releases_of_a_runtime_draw_less() -> None:
    board = "nucleo-u575zi-q"
    old, usual, new = (watts(board, runtime_version=v) for v in ("7.1.0", "8.0", "10.2"))
    assert old > usual == watts(board) > new
    assert new == watts(board, runtime_version="v9.9")  # flat beyond the measured ones
    assert watts(board, runtime_version="nightly") == usual
    assert watts(board, runtime="tflm", runtime_version="7.1") == watts(board, runtime="tflm")


def test_behind_a_linear_regulator_power_goes_with_the_supply() -> None:
    assert watts("nucleo-l4r5zi", supply_v=3.6) == pytest.approx(2 * watts("nucleo-l4r5zi"))
    assert watts("nucleo-u575zi-q", supply_v=3.6) == pytest.approx(watts("nucleo-u575zi-q"))


def test_a_lower_clock_and_voltage_save_power() -> None:
    # Half the clock in the same range; then a range of a lower voltage.
    half = watts("nucleo-u575zi-q", 120) / watts("nucleo-u575zi-q")
    assert half == pytest.approx(0.1 + 0.9 * 120 / 160)
    low = watts("nucleo-u575zi-q", 25) / watts("nucleo-u575zi-q")
    assert low == pytest.approx((0.1 + 0.9 * 25 / 160) * (0.9 / 1.2) ** 2)


def test_a_board_never_measured_comes_from_its_data_sheet() -> None:
    target = targets.load("ek-ra6m4")
    found = power.chip_power(target)
    activity = power.coefficients()["activity"]["value"]
    assert found.value == pytest.approx(99e-6 * 200 * 3.3 * activity, rel=0.01)
    assert "99 uA/MHz" in found.source
    assert found.high == pytest.approx(found.value * power.coefficients()["bands"]["unseen"])


def test_a_board_of_which_only_the_core_is_known_has_a_wide_band() -> None:
    found = power.chip_power(targets.load("nucleo-f303re"))
    assert found.value is not None
    assert found.high == pytest.approx(3 * found.value)
    assert "no run current" in found.source


def test_no_power_is_made_up() -> None:
    target = replace(targets.load("raspberry-pi-pico"), architecture="a core nobody knows")
    found = power.chip_power(target)
    assert found.value is None
    assert "no measurement" in (found.reason or "")


def test_a_design_power_bounds_an_accelerator() -> None:
    found = power.chip_power(targets.load("coral-usb-accelerator"))
    assert (found.low, found.value, found.high) == pytest.approx((0.2, 1.0, 2.0))
    assert "assumed" in found.source


def test_a_simulated_board_draws_nothing_that_could_be_said() -> None:
    assert power.chip_power(targets.load("qemu-mps2-an386")).value is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"supply_v": -2}, "supply_v above 0"),
        ({"supply_v": "much"}, "supply_v above 0"),
        ({"regulator": "boost"}, "regulator of ldo or smps"),
    ],
)
def test_a_supply_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    for name in ("nucleo-l4r5zi", "ek-ra6m4"):
        with pytest.raises(InputError, match=says):
            power.chip_power(asked(name, **settings))


def test_a_given_power_wins() -> None:
    assert power.chip_power(asked("nucleo-l4r5zi", chip_active=0.5)).value == 0.5


def test_an_accelerator_draws_more_the_more_it_computes() -> None:
    layer = Layer("d", "dense", output_shape=(4,), macs=12_501_632)
    network = Network("n", (layer,), (), ("d",))
    busy = power.chip_power(
        targets.load("gap9-evk"), network, Estimate.exact(9.49e-4, "s", "measured", "here")
    )
    assert busy.value == pytest.approx(0.0205 + 6.8e-13 * 12_501_632 / 9.49e-4)
    assert busy.value == pytest.approx(0.0289, rel=0.1)  # as measured
    # At the higher point both the base and the MACs' energy go with the voltage squared.
    fast = power.chip_power(
        asked("gap9-evk", 370), network, Estimate.exact(9.49e-4, "s", "measured", "here")
    )
    base = 0.0205 * (0.1 + 0.9 * 370 / 240) * (0.8 / 0.65) ** 2
    macs = 6.8e-13 * (0.8 / 0.65) ** 2 * 12_501_632 / 9.49e-4
    assert fast.value == pytest.approx(base + macs)


def test_a_linux_board_s_power_above_idle_goes_with_the_clock() -> None:
    own = power.board_power(targets.load("raspberry-pi-4")).value
    half = power.board_power(asked("raspberry-pi-4", 750)).value
    idle = targets.load("raspberry-pi-4").power["board_idle"]
    assert own is not None
    assert half is not None
    assert idle is not None
    assert half - idle.value == pytest.approx((own - idle.value) / 2)
    assert power.board_power(asked("raspberry-pi-4", 750, board_active=3)).value == 3


def test_an_fpga_board_nobody_measured_is_like_its_family_s() -> None:
    pynq = targets.load("pynq-z2")
    figures = {key: value for key, value in pynq.power.items() if key != "board_active"}
    found = power_fpga.fpga_power(
        replace(pynq, power=figures), None, 100, {}, Estimate.exact(1e-3, "s", "measured", "here")
    )["power"]
    assert found.value == 1.67
    assert found.high == pytest.approx(2 * 1.67)


def test_a_board_of_an_unmeasured_family_draws_more_than_its_chip() -> None:
    counts = {"lut": Estimate.exact(10_000, "LUT", "synthesised", "a report")}
    found = power_fpga.fpga_power(
        targets.load("zcu104"), None, 200, counts, Estimate.exact(1e-3, "s", "measured", "here")
    )
    board, chip = found["power"], found["chip_power"]
    assert board.value == pytest.approx(2.5 * (chip.value or 0))
    assert (board.low or 0) > (chip.low or 0)
    assert "times the chip's power" in board.source


def test_shipped_coefficients_are_those_of_the_data(data_root: Path) -> None:
    found = power_calibration.calibrate(data_root, boards())
    shipped = json.loads(power.COEFFICIENTS.read_text())
    # The last two records have the latency's errors, which take the networks themselves.
    whole = shipped["accuracy"][len(found["accuracy"]) :]
    shipped["accuracy"] = shipped["accuracy"][: len(found["accuracy"])]
    assert shipped == json.loads(json.dumps(found))
    assert len(whole) == 2


def test_errors_on_groups_left_out_meet_the_goals(data_root: Path) -> None:
    """Power alone; the energy's error has the latency's on top."""
    seen, unseen = power_calibration.calibrate(data_root, boards())["accuracy"][:2]
    assert seen["median_error"] <= 0.12
    assert unseen["median_error"] <= 0.30
    assert seen["within_2x"] == unseen["within_2x"] == 1.0
    assert seen["held"] / seen["held_of"] >= 0.85


def test_a_board_left_out_is_not_in_its_own_prediction(data_root: Path) -> None:
    measured = power_calibration.rows(data_root)
    board = "NUCLEO-L4R5ZI"
    doubled = [
        row if row.board != board else type(row)(**{**row.__dict__, "watts": 2 * row.watts})
        for row in measured
    ]
    before = [g for r, g in power_calibration.unseen(measured, boards()) if r.board == board]
    after = [g for r, g in power_calibration.unseen(doubled, boards()) if r.board == board]
    assert before == after
