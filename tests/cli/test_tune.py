"""`edgeflow compile --tune-precision`: what it asks of the backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgeflow import pipeline
from edgeflow.cli.app import app


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ([], {"bits": 16}),
        (["--tune-precision"], {"bits": 16, "precision": "tuned"}),
        (
            ["--tune-precision", "--max-loss", "0.01", "--min-agreement", "0.95"],
            {"bits": 16, "precision": "tuned", "max_loss": 0.01, "min_agreement": 0.95},
        ),
    ],
)
def test_the_flags_become_options(
    flags: list[str], wanted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []

    class Enough(Exception):
        pass

    def run(plan: Any, *_: Any, **__: Any) -> None:
        plans.append(plan)
        raise Enough

    monkeypatch.setattr(pipeline, "run", run)
    (tmp_path / "m.h5").touch()
    command = ["compile", str(tmp_path / "m.h5"), "-t", "pynq-z2", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "-O", "bits=16", *flags])
    assert isinstance(done.exception, Enough), done.output
    (target,) = plans[0].targets.values()
    assert target.options == wanted


def test_a_loss_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "m.h5").touch()
    command = ["compile", str(tmp_path / "m.h5"), "-t", "pynq-z2", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--tune-precision", "--max-loss", "2"])
    assert done.exit_code != 0
    assert "max_loss" in str(done.exception)
