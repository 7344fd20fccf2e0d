"""Write the coefficients of power from the measurements under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... OPENBLAS_NUM_THREADS=1 python benchmarks/calibrate_power.py

The errors of energy whose latency is estimated too come from `edgeflow.estimate.mcu_calibration`,
with the same benchmarks or boards left out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeflow import targets
from edgeflow.estimate import mcu_calibration, mcu_rows, power
from edgeflow.estimate import power_calibration as calibration
from edgeflow.frontends import loader
from edgeflow.jobs import Runner
from edgeflow.store import Store

TINY = {
    "ad": "anomaly_detection/trained_models/ad01_int8.tflite",
    "ic": "image_classification/trained_models/pretrainedResnet_quant.tflite",
    "kws": "keyword_spotting/trained_models/kws_ref_model.tflite",
    "vww": "visual_wake_words/trained_models/vww_96_int8.tflite",
}


def latencies(
    rows: list[mcu_rows.Row], measured: list[calibration.Row], group: Callable[[mcu_rows.Row], str]
) -> dict[tuple[str, str, int], float]:
    """Seconds that the other groups predict, by board, benchmark and measured microseconds."""
    clocks = {row.board.lower(): row.clock_mhz for row in measured}
    return {
        (row.board, row.benchmark, round(row.cycles / clocks[row.board])): guess
        / clocks[row.board]
        * 1e-6
        for row, guess in mcu_calibration.leave_out(rows, group)
        if row.board in clocks
    }


def records(data: Path, boards: dict[str, targets.Target]) -> list[dict[str, Any]]:
    """Energy with its latency estimated: benchmarks left out, boards left out."""
    with tempfile.TemporaryDirectory() as scratch, Runner(Store(Path(scratch))) as runner:
        networks = {
            name: loader.load([data / "models" / "mlperf_tiny" / path], runner).network
            for name, path in TINY.items()
        }
    rows = mcu_rows.read(data, networks)
    measured = calibration.rows(data)
    return [
        calibration.whole(
            measured, calibration.seen(measured),
            latencies(rows, measured, mcu_calibration.by_benchmark), lambda row: row.submission,
            "energy of a microcontroller or NPU, board seen (J)",
            "MLPerf Tiny; latency without the benchmark, power from the board's other submissions",
            "12 %, 95 % within 2x",
        ),
        calibration.whole(
            measured, calibration.unseen(measured, boards),
            latencies(rows, measured, mcu_calibration.by_board), lambda row: row.board,
            "energy of a microcontroller, board never seen (J)",
            "MLPerf Tiny; latency and power without the board",
            "30 %, 95 % within 2x",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    data = Path(os.environ["EDGEFLOW_DATA"])
    boards = {board: targets.load(name) for board, name in calibration.BOARDS.items()}
    calibration.write(data, boards, power.COEFFICIENTS, records(data, boards))
    print(power.COEFFICIENTS.read_text())
