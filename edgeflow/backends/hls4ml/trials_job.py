"""What types are judged by: inputs, their labels, and the model's own outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeflow.backends.fixed_job import Array
from edgeflow.backends.hls4ml.draw_job import Drawn

SAMPLES = 3000
"""Inputs that a step is tried on at most."""
WORK = 4e8
"""Multiply-accumulates that one step takes at most; beyond, fewer inputs are taken."""
LEAST = 100
"""Inputs that a step is tried on at least."""


@dataclass(frozen=True)
class Trials:
    """Inputs to search on (training data, where there are some) and to check with (the golden ones,
    test data first), with their labels; labels are None where there are none."""

    x: Array
    labels: Array | None
    test: Array
    test_labels: Array | None
    classes: bool

    @classmethod
    def of(cls, drawn: Drawn, data: Path | None) -> Trials:
        """Take them from the golden vectors, and from a dataset's folder."""
        macs = max(1, sum(layer.macs for layer in drawn.network))
        count = int(max(LEAST, min(SAMPLES, WORK / macs)))
        test = np.asarray(drawn.golden["x"][: max(count, 1000)], np.float64)
        x, labels, test_labels = test[:count], None, None
        if data is not None:
            with np.load(data / "data.npz", allow_pickle=False) as arrays:
                test_labels = arrays["y_test"] if "y_test" in arrays.files else None
                labels = test_labels
                if "y_train" in arrays.files and len(arrays["y_train"]):
                    x = np.asarray(arrays["x_train"][:count], np.float64)
                    labels = arrays["y_train"]
        outputs = drawn.golden["y"].reshape(len(drawn.golden["y"]), -1).shape[1]
        classes = outputs > 1 if test_labels is None else test_labels.dtype.kind in "iu"
        cut = None if labels is None else labels[: len(x)]
        tests = None if test_labels is None else test_labels[: len(test)]
        return cls(x.reshape(len(x), *test.shape[1:]), cut, test, tests, classes)

    @property
    def metric(self) -> str:
        """What the score is: ``accuracy``, ``agreement`` (with the model's class) or ``R²``."""
        if not self.classes:
            return "R²"
        return "agreement" if self.labels is None else "accuracy"

    def judge(self, y: Array, labels: Array | None, own: Array) -> float:
        """The score of outputs `y`; `own` are the model's, which count where there are no labels.

        Classification: the fraction of inputs whose class is right (one output: its sign, or
        whether it passes 0.5). Else the coefficient of determination R².
        """
        if self.classes:
            threshold = 0.5 if own.min(initial=0) >= 0 and own.max(initial=0) <= 1 else 0.0

            def said(values: Array) -> Array:
                if values.shape[1] == 1:
                    return np.asarray(values[:, 0] > threshold)
                return np.asarray(values.argmax(axis=1))

            found, wanted = said(y), said(own)
            if labels is not None:
                wanted = labels > 0 if y.shape[1] == 1 else labels
            count = min(len(found), len(wanted))
            return float((found[:count] == wanted[:count]).mean())
        wanted = own if labels is None or labels.size % own.shape[1] else labels
        wanted = np.asarray(wanted, np.float64).reshape(-1, own.shape[1])
        count = min(len(y), len(wanted))
        spread = ((wanted[:count] - wanted[:count].mean(axis=0)) ** 2).sum()
        lost = ((wanted[:count] - y[:count]) ** 2).sum()
        return float(1 - lost / spread) if spread else 1.0
