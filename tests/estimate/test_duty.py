"""Energy at a rate, operating points and battery life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from edgeflow import record, targets, whatif
from edgeflow.errors import InputError
from edgeflow.estimate import duty
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.estimating import estimate_targets
from edgeflow.frontends import network_file
from edgeflow.network import Layer, Network, Quantizer, Weight
from edgeflow.targets import Target


def exact(value: float, unit: str) -> Estimate:
    return Estimate.exact(value, unit, "measured", "here")


def asked(name: str = "nucleo-u575zi-q", **settings: Any) -> Target:
    return whatif.apply(targets.load(name), settings=settings)


FOUND = {"power": exact(0.02, "W"), "latency": exact(0.1, "s")}


def test_what_is_asked_is_what_the_command_line_takes() -> None:
    assert set(duty.ASKED) <= set(whatif.SETTINGS)
    assert all(whatif.SETTINGS[key] == words for key, words in duty.ASKED.items())


def test_nothing_is_added_where_nothing_is_asked() -> None:
    assert duty.extend(FOUND, asked()) == {}


def test_energy_at_a_rate_is_work_and_sleep() -> None:
    found = duty.extend(FOUND, asked(inference_rate=2, chip_sleep=0.001))
    assert found["duty_cycle"].value == pytest.approx(0.2)
    assert found["idle_power"].value == 0.001
    assert found["average_power"].value == pytest.approx(0.2 * 0.02 + 0.8 * 0.001)
    energy = found["energy_per_inference_at_rate"]
    assert energy.value == pytest.approx(0.1 * 0.02 + 0.4 * 0.001)
    assert energy.unit == "J"


def test_the_rarer_the_inference_the_more_its_sleep_costs() -> None:
    rates = [0.001, 0.1, 5]
    energies = [
        duty.extend(FOUND, asked(inference_rate=r))["energy_per_inference_at_rate"].value or 0
        for r in rates
    ]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] > 10 * energies[-1]


def test_a_rate_that_cannot_be_reached_is_said() -> None:
    found = duty.extend(FOUND, asked(inference_rate=11, battery_wh=1))
    assert found["duty_cycle"].value == pytest.approx(1.1)
    for name in ("average_power", "energy_per_inference_at_rate", "battery_life"):
        assert found[name].value is None
        assert "more than the 10" in (found[name].reason or "")


def test_back_to_back_inputs_keep_it_busy_for_the_interval_alone() -> None:
    found = {**FOUND, "interval": exact(0.01, "s")}
    assert duty.extend(found, asked(inference_rate=10))["duty_cycle"].value == pytest.approx(0.1)


def test_the_band_holds_the_parts_bands() -> None:
    found = {"power": Estimate.within(0.02, 1.5, "W", "model", "x"), "latency": FOUND["latency"]}
    average = duty.extend(found, asked(inference_rate=10))["average_power"]
    assert average.low == pytest.approx(0.02 / 1.5)
    assert average.high == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nucleo-l4r5zi", "chip sleep"),
        ("nucleo-f429zi", "as other microcontrollers"),
        ("raspberry-pi-4", "board idle"),
        ("pynq-z2", "clocks and processor run on"),
    ],
)
def test_between_inferences_each_kind_of_target_rests_its_way(name: str, says: str) -> None:
    rest = duty.idle_power(targets.load(name), FOUND["power"])
    assert rest.value is not None
    assert says in rest.source


def test_no_idle_power_is_made_up_for_a_tpu() -> None:
    rest = duty.idle_power(targets.load("tpu-v5e"), FOUND["power"])
    assert "board_idle" in (rest.reason or "")


def test_battery_life() -> None:
    life = duty.extend(FOUND, asked(battery_mah=1000, battery_v=3.6))["battery_life"]
    assert life.value == pytest.approx(0.9 * 3.6 * 3600 / 0.02)
    assert life.low is not None
    assert life.high is not None
    assert life.low < (life.value or 0) < life.high
    assert duty.extend(FOUND, asked(battery_wh=3.6))["battery_life"].value == life.value
    nothing = duty.extend({"latency": FOUND["latency"]}, asked(battery_wh=1))["battery_life"]
    assert "no power" in (nothing.reason or "")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"inference_rate": 0}, "inference_rate above 0"),
        ({"deadline": -1}, "deadline above 0"),
        ({"battery_wh": "much"}, "battery_wh above 0"),
        ({"battery_mah": 1000}, "battery_mah and battery_v together"),
    ],
)
def test_what_cannot_be_asked(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        duty.extend(FOUND, asked(**settings))


def at(mhz: float) -> Mapping[str, Estimate]:
    """A chip whose power goes with the cube of its clock, 1 s at 25 MHz."""
    seconds, watts = 25 / mhz, 1e-3 * (mhz / 25) ** 3
    return {
        "latency": exact(seconds, "s"),
        "power": exact(watts, "W"),
        "energy_per_inference": exact(seconds * watts, "J"),
    }


def test_the_slowest_point_that_meets_the_deadline_is_the_cheapest_where_voltage_falls() -> None:
    points = duty.operating_points(asked(deadline=0.5), at)
    assert [p["frequency_mhz"] for p in points] == [25, 55, 110, 160]
    assert [p["voltage_v"] for p in points] == [0.9, 1.0, 1.1, 1.2]
    assert [p["meets_deadline"] for p in points] == ["no", "yes", "yes", "yes"]
    assert [p["cheapest"] for p in points] == [False, True, False, False]
    assert points[0]["estimates"]["energy_per_inference"]["value"] == pytest.approx(1e-3)


def test_race_to_sleep_wins_where_rest_costs_much_and_a_clock_little() -> None:
    def flat(mhz: float) -> Mapping[str, Estimate]:
        return {
            "latency": exact(25 / mhz, "s"),
            "power": exact(0.01 + 1e-5 * mhz, "W"),
            "energy_per_inference": exact((0.01 + 1e-5 * mhz) * 25 / mhz, "J"),
        }

    points = duty.operating_points(asked(inference_rate=0.1), flat)
    assert [p["cheapest"] for p in points] == [False, False, False, True]


def test_a_deadline_none_meets_has_no_cheapest_point() -> None:
    points = duty.operating_points(asked(deadline=0.01), at)
    assert not any(p["cheapest"] for p in points)
    assert {p["meets_deadline"] for p in points} == {"no"}


def test_a_latency_nobody_knows_meets_no_deadline_for_sure() -> None:
    def dark(mhz: float) -> Mapping[str, Estimate]:
        return {"latency": unknown("s", "nobody knows"), "power": at(mhz)["power"]}

    points = duty.operating_points(asked(deadline=1), dark)
    assert {p["meets_deadline"] for p in points} == {None}
    assert not any(p["cheapest"] for p in points)


def test_one_point_is_no_choice() -> None:
    target = replace(asked(), operating_points=(), clock_mhz=100)
    assert duty.operating_points(target, at) == []


def test_an_fpga_design_has_clocks() -> None:
    points = duty.operating_points(asked("pynq-z2", deadline=1), at)
    assert [p["frequency_mhz"] for p in points] == [25, 50, 100]


def test_the_command_s_answer_has_them() -> None:
    """`edgeflow estimate --set inference_rate=… --set deadline=…`, end to end."""
    rounded = Quantizer("affine", 8)
    layers = (
        Layer("x", "input", output_shape=(64,), quantizer=rounded),
        Layer(
            "d", "dense", ("x",), ((64,),), (10,), weights={"kernel": Weight((64, 10), bits=8)},
            quantizer=rounded, macs=640,
        ),
    )  # fmt: skip
    model = Network("n", layers, ("x",), ("d",))
    entry = estimate_targets(
        lambda: model,
        ["nucleo-u575zi-q"],
        settings={"inference_rate": 1, "deadline": 0.5, "battery_wh": 1, "node_nm": 40},
    )["nucleo-u575zi-q"]
    added = {"duty_cycle", "average_power", "energy_per_inference_at_rate", "battery_life"}
    assert added | {"operation_energy"} <= set(entry["estimates"])
    points = entry["operating_points"]
    assert [p["frequency_mhz"] for p in points] == [25, 55, 110, 160]
    assert sum(p["cheapest"] for p in points) == 1


def test_a_clock_among_the_options_is_the_fastest_point_not_that_of_all() -> None:
    network, _ = network_file.from_record(
        {"input_shape": [64], "layers": [{"kind": "dense", "units": 32, "bits": 8}]}
    )
    found = estimate_targets(
        lambda: network, ["pynq-z2"], backend="hls4ml",
        options={"clock_mhz": 200.0, "strategy": "resource", "reuse_factor": 64},
        settings={"deadline": 1e-3},
    )["pynq-z2"]  # fmt: skip
    points = found["operating_points"]
    latency = [point["estimates"]["latency"]["value"] for point in points]
    assert [point["frequency_mhz"] for point in points] == [50, 100, 200]
    assert latency[0] > latency[1] > latency[2] == found["estimates"]["latency"]["value"]


def test_a_run_s_report_has_them_where_the_target_s_file_asks() -> None:
    target = asked(inference_rate=1, battery_wh=1, node_nm=45)
    model = Network("n", (Layer("x", "input", output_shape=(4,)),), ("x",), ("x",))
    found = record.estimates(model, target, FOUND)
    assert {"average_power", "battery_life", "operation_energy"} <= set(found)
    assert set(record.estimates(model, targets.load("nucleo-u575zi-q"), FOUND)) == set(FOUND)
