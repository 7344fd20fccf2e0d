"""Write the microcontrollers' coefficients from the measurements under $EDGEFLOW_DATA.

Run: EDGEFLOW_DATA=... OPENBLAS_NUM_THREADS=1 python benchmarks/calibrate_mcu.py
(its matrices are small: one thread takes seconds, many that wait for each other take minutes).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgeflow.estimate import mcu_table, mcu_write
from edgeflow.frontends import loader
from edgeflow.jobs import Runner
from edgeflow.store import Store

TINY = {
    "ad": "anomaly_detection/trained_models/ad01_int8.tflite",
    "ic": "image_classification/trained_models/pretrainedResnet_quant.tflite",
    "kws": "keyword_spotting/trained_models/kws_ref_model.tflite",
    "vww": "visual_wake_words/trained_models/vww_96_int8.tflite",
}

if __name__ == "__main__":
    data = Path(os.environ["EDGEFLOW_DATA"])
    with tempfile.TemporaryDirectory() as scratch, Runner(Store(Path(scratch))) as runner:
        networks = {
            name: loader.load([data / "models" / "mlperf_tiny" / path], runner).network
            for name, path in TINY.items()
        }
        mcu_write.write(data, networks, mcu_table.COEFFICIENTS)
    print(mcu_table.COEFFICIENTS.read_text())
