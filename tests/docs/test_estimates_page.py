"""docs/estimates.md names what there is, and its examples work."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
import yaml

from edgeflow import estimating, subject
from edgeflow.calibrating import COLUMNS
from edgeflow.frontends import network_file
from edgeflow.whatif import RUNTIMES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "estimates.md").read_text()


def test_the_short_form_is_one() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    network, _ = network_file.from_record(json.loads(block))
    assert network.totals.macs > 0


def test_the_example_file_is_estimated() -> None:
    file = ROOT / "models" / "estimates" / "network.json"
    names = ["pynq-z2", "nucleo-u575zi-q", "raspberry-pi-4"]
    found = estimating.estimate_targets(
        lambda: subject.read([file], contextlib.nullcontext), names, calibration=Path("none")
    )
    for name in names:
        assert found[name]["estimates"]["latency"]["value"] > 0
        assert found[name]["problems"] == []


def test_the_descriptions_of_targets_are_targets() -> None:
    texts = re.findall(r"--target '(\{.*?\})'", TEXT, re.DOTALL)
    assert len(texts) == 2
    assert len(estimating.ask(texts, estimating.Question())) == 2


def test_every_setting_in_the_table_is_one() -> None:
    table = TEXT.partition("| `--set` | |")[2].partition("\n\n")[0]
    pairs = re.findall(r"`([\w.]+)=([^`]+)`", table)
    assert len(pairs) > 8
    for given, value in pairs:
        key = given.rpartition(".")[2] if given.startswith("layers.") else given
        settings = {key: yaml.safe_load(value)}
        estimating.ask(["pynq-z2", "coral-usb-accelerator"], estimating.Question(settings=settings))


@pytest.mark.parametrize("word", [*COLUMNS, *RUNTIMES])
def test_every_column_and_runtime_is_named(word: str) -> None:
    assert f"`{word}`" in TEXT
