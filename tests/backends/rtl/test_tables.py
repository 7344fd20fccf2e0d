"""The report's tables of what synthesis, place and route and the toggle count gave."""

from __future__ import annotations

from pathlib import Path

from edgeflow.backends.rtl.backend import BACKEND

SYNTHESIS = {
    "utilisation": {"lut": 1320, "ff": 300, "dsp": 0, "carry": 120, "io": 5},
    "available": {
        "lut": 5280, "ff": 5280, "dsp": 8, "bram_4k": 30, "carry": 5280, "io": 96,
    },
    "source": "yosys 0.70; nextpnr-ice40 0.10; icepack, routed on icebreaker",
    "critical_path": {
        "clock": "clk", "ns": 40.0, "logic_ns": 15.0, "routing_ns": 25.0,
        "layers": [
            {"layer": "fc1", "ns": 10.0}, {"layer": None, "ns": 2.0}, {"layer": "fc2", "ns": 28.0},
        ],
        "steps": [],
    },
    "toggles": {
        "inferences": 1024,
        "classes": {
            "logic": {"nets": 900, "zero": 200.04, "unit": 512.5, "cell": 480.0},
            "register": {"nets": 300, "zero": 90.0, "unit": 90.0, "cell": 90.0},
        },
        "total": {"zero": 290.04, "unit": 602.5, "cell": 570.0},
        "nets": 1200,
        "clock": {"loads": 300, "nets": 1, "toggles": 2.0},
    },
}  # fmt: skip


def test_resources_path_and_toggles() -> None:
    room, path, toggles = BACKEND.tables(Path(), {"synthesis": SYNTHESIS})
    assert room.title == f"Resources, by {SYNTHESIS['source']}"
    assert room.columns == ("resource", "used", "free", "available", "used %")
    assert room.rows == (
        ("LUTs", 1320, 3960, 5280, 25.0),
        ("flip-flops", 300, 4980, 5280, 5.7),
        ("DSP blocks", 0, 8, 8, 0.0),
        ("block RAMs (4 Kbit)", 0, 30, 30, 0.0),
    )
    assert "40 ns, 15 in logic and 25 in routing" in path.title
    assert path.rows == (
        ("fc1", 10.0, 25.0),
        ("(wrapper, or no layer)", 2.0, 5.0),
        ("fc2", 28.0, 70.0),
    )
    assert "1,024 inferences" in toggles.title
    assert toggles.columns[2:] == ("without delays", "unit delays", "delays of the cells")
    assert toggles.rows == (
        ("logic", 900, 200.0, 512.5, 480.0),
        ("register", 300, 90.0, 90.0, 90.0),
        ("all", 1200, 290.0, 602.5, 570.0),
        ("clock", 1, 2.0, 2.0, 2.0),
    )


def test_what_is_not_known_is_no_table_and_no_number() -> None:
    assert BACKEND.tables(Path(), {}) == []
    assert BACKEND.tables(Path(), {"synthesis": {"critical_path": {}}}) == []
    (room,) = BACKEND.tables(Path(), {"synthesis": {"utilisation": {"lut": 9, "dsp": 0}}})
    assert room.rows == (("LUTs", 9, None, None, None), ("DSP blocks", 0, None, None, None))
