"""First estimates: their arithmetic, their reasons, and how far they were off on real boards."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from edgeflow import targets
from edgeflow.estimate import energy, power, power_fpga
from edgeflow.estimate.quantity import Estimate, unknown
from edgeflow.network import Layer, Network, Weight

CPU_BOARDS = {
    "NUCLEO-L4R5ZI": "nucleo-l4r5zi",
    "NUCLEO-H7A3ZI-Q": "nucleo-h7a3zi-q",
    "NUCLEO-U575ZI-Q": "nucleo-u575zi-q",
}
FPGA_BOARDS = {"XILINX PYNQ Z2": "pynq-z2", "ARTY A7-100T": "arty-a7-100t"}


def network(macs: int, layers: int = 1) -> Network:
    """A chain of dense layers with so many MACs in all."""
    chain = [Layer("x", "input", output_shape=(16,))]
    for index in range(layers):
        chain.append(
            Layer(
                f"d{index}",
                "dense",
                (chain[-1].name,),
                output_shape=(4,),
                weights={"kernel": Weight((16, 4), bits=6)},
                macs=macs // layers,
            )
        )
    return Network("n", tuple(chain), ("x",), (chain[-1].name,))


def seconds(value: float, factor: float = 1.0) -> Estimate:
    return Estimate.within(value, factor, "s", "measured", "here")


def test_common_counts() -> None:
    found = energy.common(network(64), 1234)
    assert {name: estimate.value for name, estimate in found.items()} == {
        "macs": 64,
        "parameters": 64,
        "weight_memory": 48,
        "activation_memory": 16 * 4 + 4 * 4,
        "model_size": 1234,
    }
    assert all(e.low == e.value == e.high for e in found.values())


def test_times_combines_bands_in_quadrature() -> None:
    a, b = seconds(2.0, 2.0), Estimate.within(3.0, 3.0, "W", "model", "there")
    found = energy.times(a, b, "J", "both")
    wide = math.exp(math.hypot(math.log(2), math.log(3)))
    assert found.value == 6.0
    assert found.low == pytest.approx(6 / wide)
    assert found.high == pytest.approx(6 * wide)
    assert found.method == "model"
    nothing = energy.times(a, unknown("W", "nobody measured"), "J", "both")
    assert nothing.value is None
    assert nothing.reason == "nobody measured"
    zero = energy.times(Estimate(1, 0, 2, "s", "model", "x"), b, "J", "both")
    assert (zero.low, zero.high) == (0, 18)


def test_board_and_chip_apart() -> None:
    found = energy.board_energy(targets.load("raspberry-pi-4"), seconds(0.01))
    assert found["power"].value == 3.4
    assert found["energy_per_inference"].value == pytest.approx(0.034)
    assert found["chip_power"].value is None
    assert "supply" in (found["chip_power"].reason or "")
    late = energy.board_energy(targets.load("raspberry-pi-4"), unknown("s", "not run"))
    assert late["power"].value == 3.4
    assert late["energy_per_inference"].reason == "not run"


def test_tpu_divides_by_the_batch() -> None:
    v4 = targets.load("tpu-v4")
    one, eight = (energy.tpu_energy(v4, seconds(1e-3), batch) for batch in (1, 8))
    name = "chip_energy_per_inference"
    assert one[name].value == pytest.approx(0.170)
    assert eight[name].value == pytest.approx(0.170 / 8)
    assert energy.tpu_energy(targets.load("tpu-v6e"), seconds(1e-3))[name].value is None


def counts(**values: float) -> dict[str, Estimate]:
    return {n: Estimate.exact(v, n, "synthesised", "a report") for n, v in values.items()}


def test_fabric_power_is_static_plus_what_switches() -> None:
    target = targets.load("pynq-z2")
    used = counts(lut=10_000, ff=12_000, dsp=50, bram_18k=10)
    slow, fast = (
        energy.fpga_power(target, None, clock, used, seconds(1e-5))["fabric_power"].value or 0
        for clock in (50, 100)
    )
    static = 0.139
    assert fast - static == pytest.approx(2 * (slow - static))
    parts = power.coefficients()["fabric"]["parts"]
    expected = 1e8 * sum(
        n * power_fpga.per_cycle(parts[name], n) for name in parts for n in [used[name].value or 0]
    )
    assert fast - static == pytest.approx(expected)


def test_leakage_and_switching_are_apart() -> None:
    used = counts(lut=10_000, ff=12_000, dsp=50, bram_18k=10)
    found = energy.fpga_power(targets.load("pynq-z2"), None, 100, used, seconds(1e-5))
    parts = [found[name].value or 0 for name in ("static_power", "dynamic_power")]
    assert parts[0] == 0.139
    assert sum(parts) == pytest.approx(found["fabric_power"].value)
    dark = energy.fpga_power(targets.load("ulx3s-85f"), None, 25, used, seconds(1e-5))
    assert "no coefficients" in (dark["dynamic_power"].reason or "")


def test_a_design_draws_no_more_than_a_full_device() -> None:
    """The power is of the board, and only a design that fits is ever on it."""
    target = targets.load("pynq-z2")
    capacity = {name: figure.value for name, figure in target.resources.items() if figure}
    full, over = (
        energy.fpga_power(
            target, None, 100, counts(**{n: share * v for n, v in capacity.items()}), seconds(1)
        )
        for share in (1, 20)
    )
    for name in ("power", "chip_power", "fabric_power"):
        assert over[name].value == full[name].value
    assert (full["chip_power"].value or 0) <= (full["power"].value or 0)
    assert "no more than the device has" in over["fabric_power"].source
    assert "no more" not in full["fabric_power"].source


def test_elements_of_larger_designs_switch_less() -> None:
    """Between the two reports by the logarithm of the count, beyond them as the nearer one."""
    part = {"by_count": [[100, 4e-13], [10_000, 1e-13]]}
    found = [power_fpga.per_cycle(part, n) for n in (1, 100, 1000, 10_000, 10**6)]
    assert found == pytest.approx([4e-13, 4e-13, 2e-13, 1e-13, 1e-13])
    assert power_fpga.per_cycle({"value": 7e-12}, 1000) == 7e-12


def test_fpga_without_a_report_is_bounded_by_the_device() -> None:
    target = targets.load("arty-a7-100t")
    found = energy.fpga_power(target, network(100), None, None, seconds(1e-5))
    fabric = found["fabric_power"]
    assert "not known: 1% to 80%" in fabric.source
    assert fabric.low is not None
    assert fabric.high is not None
    assert fabric.high / fabric.low > 10
    assert fabric.high <= (found["power"].high or 0)
    known = energy.fpga_power(
        target, None, 100, counts(lut=100, ff=100, dsp=0, bram_18k=0), seconds(1e-5)
    )["fabric_power"]
    assert "not known" not in known.source
    # Little switches, so what is left is the leakage.
    assert known.value == pytest.approx(0.098, rel=0.05)


def test_a_design_far_larger_than_measured_widens_the_board() -> None:
    target = targets.load("pynq-z2")
    large = counts(lut=50_000, ff=100_000, dsp=220, bram_18k=280)
    small = energy.fpga_power(target, None, 100, counts(lut=1, ff=1, dsp=0, bram_18k=0), seconds(1))
    found = energy.fpga_power(target, None, 400, large, seconds(1))
    assert (found["power"].high or 0) > (small["power"].high or 0)
    assert (small["power"].value or 0) < (found["power"].value or 0) < 2 * 1.67


def test_interval_costs_less_than_latency() -> None:
    target = targets.load("pynq-z2")
    found = energy.fpga_power(target, None, None, None, seconds(1e-4), seconds(1e-5))
    assert found["energy_per_inference"].value == pytest.approx(1.67e-5)
    assert "interval" in found["energy_per_inference"].source


@pytest.mark.parametrize("name", targets.names())
def test_every_target_gives_a_figure_or_a_reason(name: str) -> None:
    target = targets.load(name)
    latency = seconds(1e-3, 2)
    if target.kind == "fpga":
        found = energy.fpga_power(target, network(1000), None, None, latency)
        assert (found["fabric_power"].value is not None) == (target.architecture in energy.NODE)
    else:
        found = energy.board_energy(target, latency)
    assert {"power", "energy_per_inference", "chip_power", "chip_energy_per_inference"} <= set(
        found
    )
    for estimate in found.values():
        assert estimate.value is not None or estimate.reason
        assert Estimate.from_json(json.loads(json.dumps(estimate.to_json()))) == estimate


def rows(data_root: Path) -> list[dict[str, str]]:
    with (data_root / "ground_truth" / "mlperf_tiny_energy.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_energy_from_measured_latency_agrees(data_root: Path) -> None:
    """Power of the target x the measured time of the energy run, against the measured energy."""
    within = total = 0
    for row in rows(data_root):
        board = row["board"].upper()
        if board not in {**CPU_BOARDS, **FPGA_BOARDS}:
            continue
        time = seconds(1 / float(row["energy_mode_throughput_inf_s"] or row["throughput_inf_s"]))
        joules = float(row["energy_uJ_per_inf"]) * 1e-6
        if board in CPU_BOARDS:
            found = energy.board_energy(targets.load(CPU_BOARDS[board]), time)
            estimate = found["chip_energy_per_inference"]
        else:
            found = energy.fpga_power(targets.load(FPGA_BOARDS[board]), None, 100, None, time)
            estimate = found["energy_per_inference"]
        assert estimate.low is not None
        assert estimate.high is not None
        within += estimate.low <= joules <= estimate.high
        total += 1
    assert total == 41
    assert within / total >= 0.9
