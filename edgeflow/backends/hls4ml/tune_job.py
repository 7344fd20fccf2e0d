"""The job that finds the narrowest types that keep a model's accuracy.

The bits before the point follow from the values that the model itself computes on real inputs; the
bits after it are searched: first one width for all, then each on its own, a bit at a time, those
that cost the most first. Each step is tried in numpy (`emulate_job`), which takes milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeflow.backends.fixed_job import Array
from edgeflow.backends.hls4ml.choices_job import Choices, Key
from edgeflow.backends.hls4ml.draw_job import Drawn, draw
from edgeflow.backends.hls4ml.emulate_job import Emulator
from edgeflow.backends.hls4ml.plan_job import Plan
from edgeflow.backends.hls4ml.trials_job import Trials
from edgeflow.errors import UnsupportedError

NARROWEST = 2
"""Bits that a type has at least."""
START = 2
"""Bits above the narrowest width for all, from which each type is narrowed on its own."""
LOSS = 0.005
"""Of accuracy (or R²), where nothing else is asked for."""
AGREEMENT = 0.99
"""Of the class, where there are no labels and nothing else is asked for."""
TRUST = 1e-3
"""How far, of their scale, the emulated outputs of unrounded types may be from the model's own."""

Widths = dict[Key, int]


def tune(
    inputs: dict[str, Path],
    params: dict[str, Any],
    output: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Find types, and write them as options (``precision.yaml``).

    ``inputs``: ``network``, ``weights``, ``golden`` (folder), maybe ``data`` (a dataset's folder).
    ``params``: those of `draw_job.draw`; ``max_loss`` (of the score, where there are labels) and
    ``min_agreement`` (of the class, where there are none), or null.

    Returns:
        ``layers``: the options by layer; ``rows``: for each type ``layer``, ``role``, ``before``,
        ``after``, ``macs``; ``metric`` (``accuracy``, ``agreement`` or ``R²``); ``asked``: the
        least score on the golden inputs; ``model``, ``before``, ``after``: ``score`` on the inputs
        of the search, ``test`` on the golden inputs, and ``ebops`` (`Choices.ebops`);
        ``agreement``: of the class with the model's, golden inputs; ``steps``: how many were
        tried, each on ``samples`` inputs.

    Raises:
        UnsupportedError: nothing is free, a layer is not emulated, or no types of up to ``bits``
            bits keep the score.
    """
    drawn = draw(inputs, params)
    trials = Trials.of(drawn, inputs.get("data"))
    progress(0, 100, "profile")
    search = Search.of(drawn, trials, params)
    found = search.run(progress)
    (output / "precision.yaml").write_text(_fragment(found))
    return found


@dataclass
class Search:
    """The search. ``own`` and ``own_test`` are the model's outputs; ``loss`` is what the score may
    lose."""

    choices: Choices
    trials: Trials
    own: Array
    own_test: Array
    bits: int
    loss: float
    steps: int = 0

    @classmethod
    def of(cls, drawn: Drawn, trials: Trials, params: Mapping[str, Any]) -> Search:
        """Run the model itself: its outputs, and the range of every layer's values."""
        twin = Emulator(drawn.plan(drawn.unrounded()), true=True)
        plan, network = twin.plan, drawn.network
        found = twin.run(trials.x)
        ranges = {
            name: (float(values.min(initial=0)), float(values.max(initial=0)))
            for name, values in found.items()
        }
        for name, at in plan.place.items():
            readers = network.consumers[name]
            if readers and name not in plan.hidden and all(r.kind == "relu" for r in readers):
                low, high = ranges[at]  # all that is negative becomes 0
                ranges[at] = (max(low, -high), high)
        last = plan.place[network.outputs[0]]
        own = found[last].reshape(len(trials.x), -1)
        twin.forget()
        own_test = twin.run(trials.test)[last].reshape(len(trials.test), -1)
        golden = drawn.golden["y"][: len(own_test)].reshape(len(own_test), -1)
        gap = float(np.abs(own_test - golden).max(initial=0))
        if gap > TRUST * max(1.0, float(np.abs(golden).max(initial=0))):
            raise UnsupportedError(
                f"the types cannot be tuned: what is emulated differs from the model by {gap:.3g}",
                remedy="precision: auto",
            )
        if trials.metric == "agreement":
            agreement = params.get("min_agreement")
            loss = 1 - (AGREEMENT if agreement is None else float(agreement))
        else:
            loss = LOSS if params.get("max_loss") is None else float(params["max_loss"])
        return cls(Choices(drawn, ranges), trials, own, own_test, int(params["bits"]), loss)

    def run(self, progress: Callable[..., None]) -> dict[str, Any]:
        """See `tune`."""
        choices = self.choices
        if not choices.keys:
            raise UnsupportedError(
                "no type is free to be tuned: the model's quantisers, or the options, give them",
                remedy="precision: auto",
            )
        self.emulator = Emulator(choices.usual, trust=True)
        base = self.trials.judge(self.own, self.trials.labels, self.own)
        base_test = self.trials.judge(self.own_test, self.trials.test_labels, self.own_test)
        self.least, self.least_test = base - self.loss, base_test - self.loss
        before = {
            "score": self.score(choices.usual),
            "test": self.test(choices.usual)[0],
            "ebops": choices.ebops(choices.usual),
        }
        widths = self.narrow(self.uniform(), progress)
        widths, (test, agreement) = self.confirm(widths)
        layers = choices.options(widths)
        plan = choices.plan(layers)
        after = {"score": self.score(plan), "test": test, "ebops": choices.ebops(plan)}
        return {
            "layers": layers,
            "rows": choices.rows(layers, plan),
            "metric": self.trials.metric,
            "asked": self.least_test,
            "model": {"score": base, "test": base_test, "ebops": None},
            "before": before,
            "after": after,
            "agreement": agreement,
            "steps": self.steps,
            "samples": len(self.trials.x),
        }

    def outputs(self, plan: Plan, x: Array) -> Array:
        """What the plan computes."""
        self.steps += 1
        self.emulator.plan = plan
        last = plan.place[self.choices.drawn.network.outputs[0]]
        return self.emulator.run(x)[last].reshape(len(x), -1)

    def score(self, plan: Plan) -> float:
        """The plan's score on the inputs of the search."""
        return self.trials.judge(self.outputs(plan, self.trials.x), self.trials.labels, self.own)

    def test(self, plan: Plan) -> tuple[float, float]:
        """Score, and agreement with the model, on the golden inputs."""
        y = self.outputs(plan, self.trials.test)
        return (
            self.trials.judge(y, self.trials.test_labels, self.own_test),
            self.trials.judge(y, None, self.own_test),
        )

    def good(self, widths: Widths) -> bool:
        """Whether these widths keep the score."""
        return self.score(self.choices.plan(self.choices.options(widths))) >= self.least

    def uniform(self) -> Widths:
        """The narrowest width that does for all."""
        low, high = NARROWEST, self.bits
        if not self.good(dict.fromkeys(self.choices.keys, high)):
            raise self._too_few(self.least)
        while low < high:
            middle = (low + high) // 2
            if self.good(dict.fromkeys(self.choices.keys, middle)):
                high = middle
            else:
                low = middle + 1
        return dict.fromkeys(self.choices.keys, high)

    def _too_few(self, least: float) -> UnsupportedError:
        return UnsupportedError(
            f"types of {self.bits} bits do not keep the {self.trials.metric} of {least:.4f} that "
            "is asked for",
            remedy="allow more loss, or give more `bits`",
        )

    def narrow(self, widths: Widths, progress: Callable[..., None]) -> Widths:
        """A bit at a time, round and round, the dearest first, until none can lose one more."""
        widths = {key: min(self.bits, width + START) for key, width in widths.items()}
        todo = sorted(widths, key=lambda key: (-self.choices.uses[key], key))
        total = len(todo)
        while todo:
            for key in list(todo):
                tried = {**widths, key: widths[key] - 1}
                if tried[key] >= NARROWEST and self.good(tried):
                    widths = tried
                else:
                    todo.remove(key)
                progress(100 * (1 - len(todo) / (total + 1)), 100, "narrow the types")
        return widths

    def confirm(self, widths: Widths) -> tuple[Widths, tuple[float, float]]:
        """Widths that keep the score on the golden inputs too: a bit more for all where not."""
        while True:
            found = self.test(self.choices.plan(self.choices.options(widths)))
            if found[0] >= self.least_test:
                return widths, found
            if min(widths.values()) >= self.bits:
                raise self._too_few(self.least_test)
            widths = {key: min(width + 1, self.bits) for key, width in widths.items()}


def _fragment(found: Mapping[str, Any]) -> str:
    """The options for a recipe. JSON's strings are YAML's too."""
    lines = [
        f"# Types found by edgeflow. On the golden inputs: {found['metric']} "
        f"{found['after']['test']:.4f}, the model's own {found['model']['test']:.4f}.",
        "# Put them under `options` of the target in the recipe.",
        "layers:",
    ]
    for name, own in found["layers"].items():
        types = ", ".join(f"{role}: {json.dumps(kind)}" for role, kind in own.items())
        lines.append(f"  {json.dumps(name)}: {{{types}}}")
    return "\n".join(lines) + "\n"
