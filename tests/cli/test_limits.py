"""`edgeflow check --list`: what a backend takes, from the tables of its own check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from edgeflow.backends import registry
from edgeflow.backends.base import Limit
from edgeflow.backends.hls4ml import rules as hls4ml_rules
from edgeflow.backends.tflite import support
from edgeflow.backends.tpu import checks
from edgeflow.cli.app import app
from edgeflow.network import KINDS, Layer, Network

OURS = ("hls4ml", "rtl", "tflite", "tpu")


@pytest.mark.parametrize("name", OURS)
def test_as_table_and_as_json(name: str) -> None:
    said = CliRunner().invoke(app, ["check", "--list", name, "--json"])
    assert said.exit_code == 0, said.output
    record = json.loads(said.output)
    assert record["backend"] == name
    limits = [Limit(**{**item, "kinds": tuple(item["kinds"])}) for item in record["limits"]]
    assert limits == registry.limits(registry.get(name))
    assert {kind for limit in limits for kind in limit.kinds} <= KINDS
    assert all(limit.limit for limit in limits)
    table = CliRunner().invoke(app, ["check", "--list", name])
    assert table.exit_code == 0
    words = "".join(table.output.split())
    for limit in limits:
        assert limit.limit.split()[0] in words


def test_every_backend_can_be_listed() -> None:
    for name in registry.names():
        said = CliRunner().invoke(app, ["check", "--list", name])
        assert said.exit_code == 0, (name, said.output)
        assert said.output.startswith(f"{name}: ")


def test_the_list_is_the_checks_own_table() -> None:
    """What a check says of a broken layer stands in the list, with its remedy."""
    listed = {kind for limit in support.limits() for kind in limit.kinds}
    assert listed == set(support.TABLE)
    remedies = {limit.remedy for limit in support.limits()}
    shape = (None, 3)
    dynamic = Network(
        "n", (Layer("x", "input", output_shape=shape),), ("x",), ("x",), {"format": "keras3"}
    )
    target = SimpleNamespace(kind="linux_board", memory={}, name="board", settings={})
    (problem,) = support.problems(dynamic, target, "float32")  # type: ignore[arg-type]
    assert problem.remedy in remedies
    assert {rule.remedy for rule in checks.RULES} <= {limit.remedy for limit in checks.limits()}
    assert {rule.limit for rule in hls4ml_rules.RULES} <= {
        limit.limit for limit in hls4ml_rules.limits()
    }


def test_a_backend_without_a_list_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Silent:
        name: str = "silent"
        description: str = "says nothing"

    monkeypatch.setattr(registry, "get", lambda name, where=None: Silent())
    said = CliRunner().invoke(app, ["check", "--list", "silent", "--json"])
    assert json.loads(said.output)["limits"] is None
    assert "gives no list" in CliRunner().invoke(app, ["check", "--list", "silent"]).output


def test_without_a_model_or_target_it_says_what_is_missing() -> None:
    assert "MODEL" in CliRunner().invoke(app, ["check"]).output
    assert "--target" in CliRunner().invoke(app, ["check", "a.keras"]).output
