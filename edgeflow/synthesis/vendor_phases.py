"""How far a vendor's tool is, from the lines that it prints. Standard library alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

STARTED: Final = {
    "C SIMULATION": ("csim", "C simulation"),
    "C/RTL SYNTHESIS": ("csynth", "C synthesis"),
    "C/RTL SIMULATION": ("cosim", "co-simulation"),
    "C/RTL VALIDATION": ("cosim", "comparison of the co-simulation"),
    "EXPORT IP": ("export", "packing as IP"),
    "VIVADO SYNTHESIS": ("vsynth", "logic synthesis"),
}
"""What hls4ml's build script prints between asterisks before a step."""

DETAILS: Final = (
    (r"\[HLS 200-10\] Analyzing design file '([^']+)'", "reading {0}"),
    (r"-- (Implementing|Scheduling|Binding|Generating RTL for) module '([^']+)'", "{0} {1}"),
    (r"-- (Starting hardware synthesis|Starting code transformations)", "{0}"),
    (r"// RTL Simulation : (\d+) / (\d+)", "input {0} of {1}"),
    (r"^Starting ([A-Z][\w /&-]*?)(?: Task)?(?: :.*)?$", "{0}"),
    (r"^Phase ([\d.]+) (.+?)(?: \|.*)?$", "phase {0}, {1}"),
    (r"(Creating bitstream|Writing bitstream)", "{0}"),
    (r"Info(?: \(\d+\))?: Running Quartus Prime ([\w &]+)", "Quartus {0}"),
    (
        r"^((?:Analyzing|Creating|Optimizing|Generating|Linking|Target FPGA) .+)$",
        "{0}",
    ),
)
"""What Vitis HLS, xsim, Vivado, ``i++`` and Quartus print on their way."""


class Phases:
    """Follows the lines of a run of `steps`."""

    def __init__(self, steps: Sequence[str]) -> None:
        self.steps = list(steps)
        self.done: list[str] = []
        self.now = ""
        self.detail = ""
        self.errors: list[str] = []

    def line(self, text: str) -> bool:
        """Take a line; whether it tells of progress."""
        if re.match(r"(ERROR|CRITICAL|Error)\b", text.strip()):
            self.errors = [*self.errors, text.strip()][-5:]
        if match := re.match(r"\*{3,} (.+?) \*{3,}", text.strip()):
            return self._banner(match[1])
        for pattern, words in DETAILS:
            if match := re.search(pattern, text):
                self.detail = words.format(*match.groups())[:100]
                return True
        return False

    def _banner(self, text: str) -> bool:
        name, ended, _ = text.partition(" COMPLETED IN ")
        step = STARTED.get(name)
        if step is None:
            return False
        self.now, self.detail = step[1], ""
        if ended:
            self.done.append(step[0])
            self.detail = "done"
        return True

    def start(self, text: str) -> None:
        """A program starts that says no banner of its own."""
        self.now, self.detail = text, ""

    @property
    def text(self) -> str:
        """Where it is now."""
        return ": ".join(part for part in (self.now, self.detail) if part) or "its start"

    @property
    def count(self) -> int:
        """How many of the steps are done."""
        return len({step for step in self.done if step in self.steps})
