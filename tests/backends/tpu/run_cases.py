"""Run in the toolchain tpu: the int8 graph of each case against the reference kernels' outputs.

Prints one JSON line: by case, the fraction of outputs that differ and by how many levels at most.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import numpy as np

from edgeflow.backends.tpu import network_job, rescale_job
from edgeflow.backends.tpu.integer_job import plan
from edgeflow.backends.tpu.job import load_arrays
from edgeflow.network import Network


def planned(network: Network, weights: dict[str, np.ndarray]):
    """`network_job.integer_plan`, which refuses what multiplies nothing."""
    held = {x.name: {role: weights[f"{x.name}/{role}"] for role in x.weights} for x in network}
    return plan(network, held, {layer.name: {} for layer in network})


def roundings() -> None:
    """Each way to multiply against whole numbers of any length, near halves above all."""
    random = np.random.default_rng(5)
    for shift in (3, 0, -1, -2, -7, -11, -12, -31):
        factor = int(random.integers(1 << 30, 1 << 31))
        wide = random.integers(-(1 << 27), 1 << 27, 4000)
        halves = np.arange(-300, 300) * 2.0 ** (30 - shift) / factor
        near = (np.rint(halves)[:, None] + np.arange(-2, 3)).ravel()
        x = np.concatenate([wide, near[np.abs(near) < 1 << 27].astype(np.int64)]).astype(np.int32)
        high = [(int(v) * (1 << max(shift, 0)) * factor + (1 << 30)) >> 31 for v in x]
        half = (1 << -shift) >> 1 if shift < 0 else 0
        want = np.array([(v + half - (v < 0 < half)) >> max(-shift, 0) for v in high])
        small = np.abs(want) < 384
        fits = np.abs(want) < 1 << 31
        factors = [(factor, shift)]
        found = np.asarray(rescale_job.multiply(x, factors))
        assert (found == want)[fits].all(), shift
        found = np.asarray(rescale_job.narrow(x, factors))
        assert (found == want)[small].all(), shift
        assert small.sum() > 100 or shift > -2
        if shift <= 0:
            few = np.arange(-255, 256, dtype=np.int32)
            wanted = np.asarray(rescale_job.multiply(few << 20, factors))
            assert (np.asarray(rescale_job._of_byte(few, factors[0])) == wanted).all(), shift


def main(folder: Path) -> None:
    """Compare every case of the folder."""
    roundings()
    network_job.integer_plan = planned
    found = {}
    for path in sorted(folder.glob("*.ref")):
        case = folder / path.stem
        network = Network.load(case / "network.json")
        x, y = (network[names[0]] for names in (network.inputs, network.outputs))
        codes = np.fromfile(case.with_suffix(".in"), np.int8).reshape(-1, *x.output_shape)
        step, zero = x.quantizer.scale[0], x.quantizer.zero_point[0]
        real = ((codes.astype(np.float32) - zero) * np.float32(step)).astype(np.float32)
        graph = network_job.forward(network, load_arrays(case / "weights.npz"), precision="int8")
        (values,) = jax.jit(graph)(real)
        step, zero = y.quantizer.scale[0], y.quantizer.zero_point[0]
        levels = np.rint(np.asarray(values, np.float64) / step + zero).ravel()
        off = np.abs(levels - np.fromfile(path, np.int8))
        found[case.name] = [float((off > 0).mean()), float(off.max())]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
