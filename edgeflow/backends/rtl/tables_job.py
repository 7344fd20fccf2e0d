"""Look-up tables written into the sources.

da4ml reads them from files beside the working directory when a simulator starts; a design of
these sources alone can go anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from da4ml.codegen.rtl.verilog.comb import table_mem_gen
from da4ml.types import CombLogic, Pipeline

VERILOG = re.compile(r'lookup_table #\((\d+), (\d+), "(table_[0-9a-f-]+)\.mem"\)')
VHDL = re.compile(
    r"entity work\.lookup_table generic map\s*\(BW_IN\s*=>\s*(\d+),\s*BW_OUT\s*=>\s*(\d+),\s*"
    r'MEM_FILE\s*=>\s*"(table_[0-9a-f-]+)\.mem"\)'
)


def inline(
    texts: Mapping[str, str], made: CombLogic | Pipeline, language: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The sources with a module for each table, and these modules, by module name."""
    memories: dict[str, str] = {}
    for part in made.solutions if isinstance(made, Pipeline) else (made,):
        memories |= table_mem_gen(part)
    found: dict[str, str] = {}

    def module(match: re.Match[str]) -> str:
        width_in, width_out, name = int(match[1]), int(match[2]), match[3]
        own = f"{name.replace('-', '')[:22]}_{width_in}_{width_out}"
        words = memories[f"{name}.mem"].splitlines()
        make = _verilog if language == "verilog" else _vhdl
        found[own] = make(own, width_in, width_out, words)
        return own if language == "verilog" else f"entity work.{own}"

    pattern = VERILOG if language == "verilog" else VHDL
    return {stem: pattern.sub(module, text) for stem, text in texts.items()}, found


def _verilog(name: str, width_in: int, width_out: int, words: list[str]) -> str:
    rows = [
        f"      {width_in}'d{index}: out = {width_out}'h{word};"
        for index, word in enumerate(words)
        if "X" not in word
    ]
    return (
        f"module {name} (\n    input [{width_in - 1}:0] in,\n"
        f"    output reg [{width_out - 1}:0] out\n);\n  always @(*)\n    case (in)\n"
        + "\n".join(rows)
        + f"\n      default: out = {{{width_out}{{1'bx}}}};\n    endcase\nendmodule\n"
    )


def _vhdl(name: str, width_in: int, width_out: int, words: list[str]) -> str:
    rows = [
        f'    "{int(word, 16):0{width_out}b}" when "{index:0{width_in}b}",'
        for index, word in enumerate(words)
        if "X" not in word
    ]
    return (
        "library ieee;\nuse ieee.std_logic_1164.all;\n\n"
        f"entity {name} is\n  port (\n    inp  : in  std_logic_vector({width_in - 1} downto 0);\n"
        f"    outp : out std_logic_vector({width_out - 1} downto 0)\n  );\nend entity {name};\n\n"
        f"architecture rtl of {name} is\nbegin\n  with inp select outp <=\n"
        + "\n".join(rows)
        + "\n    (others => 'X') when others;\nend architecture rtl;\n"
    )
