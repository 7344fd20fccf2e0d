"""FPGA parts by their order codes: which family a part is of."""

from __future__ import annotations

import re
from typing import Final

from edgeflow import validation
from edgeflow.errors import TargetError

FAMILIES: Final = {
    r"xc7s\d": "spartan-7",
    r"xc7a\d": "artix-7",
    r"xc7k\d": "kintex-7",
    r"xc7vx?h?t?\d": "virtex-7",
    r"x[ac]7z\d": "zynq-7000",
    r"xcku\d+p": "kintex-ultrascale+",
    r"xcku\d": "kintex-ultrascale",
    r"xcau\d": "artix-ultrascale+",
    r"xcvu\d+p": "virtex-ultrascale+",
    r"xcvu\d": "virtex-ultrascale",
    r"xcu(\d+|lp\d+)": "virtex-ultrascale+",
    r"xczu\d": "zynq-ultrascale+",
    r"xck\d": "zynq-ultrascale+",
    r"xcv[cempnh]\d": "versal",
    r"10a": "arria-10",
    r"10c": "cyclone-10",
    r"10m": "max-10",
    r"1s": "stratix-10",
    r"5[acs]": "cyclone-v",
    r"ag[fimd]": "agilex",
    r"mpf": "polarfire",
    r"lfe5": "ecp5",
    r"ice40up": "ice40-up",
    r"ice40(hx|lp)": "ice40-hx",
    r"gw1n": "gw1n",
    r"gw2a": "gw2a",
}
"""Beginnings of order codes (AMD DS180, DS190, DS890, DS891; the other vendors' data sheets)."""

EXAMPLES: Final = (
    "xc7z007sclg225-1", "xc7z020clg400-1", "xc7a35tcpg236-1", "xc7a100tcsg324-1",
    "xc7k325tffg900-2", "xc7vx690tffg1927-2", "xcku040-ffva1156-2-e", "xcku115-flvb2104-2-i",
    "xcvu9p-flga2104-2-e", "xcvu13p-flga2577-2-e", "xcu50-fsvh2104-2-e", "xcu200-fsgd2104-2-e",
    "xcu250-figd2104-2L-e", "xcu280-fsvh2892-2L-e", "xczu3eg-sbva484-1-e", "xczu7ev-ffvc1156-2-e",
    "xczu9eg-ffvb1156-2-e", "xczu28dr-ffvg1517-2-e", "xck26-sfvc784-2LV-c", "10AX115S2F45I1SG",
)  # fmt: skip
"""Parts of common boards, to suggest."""


def architecture(part: str) -> str:
    """The family of a part, as targets name it.

    Raises:
        TargetError: of no family that is known; names parts like it.
    """
    for pattern, family in FAMILIES.items():
        if re.match(pattern, part, re.IGNORECASE):
            return family
    near = validation.nearest(part.lower(), [one.lower() for one in EXAMPLES])
    known = [one for one in EXAMPLES if one.lower() in near] or [*EXAMPLES[1:2], EXAMPLES[12]]
    raise TargetError(
        f"no family of FPGAs has the part '{part}'",
        remedy=f"a part like {' or '.join(known)}: set it with --set part=PART, or leave it to the "
        "target",
    )
