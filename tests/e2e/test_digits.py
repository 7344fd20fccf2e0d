"""The main job, as a user runs it, and what may go wrong on the way."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeflow.report.schema import json_schema

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "models" / "digits"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edgeflow", *map(str, arguments)]


def environment(store: Path) -> dict[str, str]:
    return {**os.environ, "EDGEFLOW_STORE": str(store), "NO_COLOR": "1"}


def run(recipe: Path, folder: Path, store: Path) -> dict[str, Any]:
    """Run a recipe in `folder`; returns its report."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        command("run", recipe, "--output", "out"),
        cwd=folder,
        env=environment(store),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return report(folder)


def start(recipe: Path, folder: Path, store: Path) -> subprocess.Popen[str]:
    """Start such a run and go on."""
    return subprocess.Popen(
        command("run", recipe, "--output", "out"),
        cwd=folder,
        env=environment(store),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # What runs the tests may ignore Ctrl-C; a user's shell does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def report(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return record


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="module")
def first(place: Path) -> dict[str, Any]:
    return run(DIGITS / "digits.yaml", place / "work", place / "store")


def test_every_artifact_is_verified_and_accurate(first: dict[str, Any]) -> None:
    assert first["accuracy"] >= 0.97
    least = {"pynq-z2": 0.96, "raspberry-pi-4": 0.965, "tpu-v5e": 0.97}
    assert set(first["targets"]) == set(least)
    for name, entry in first["targets"].items():
        assert entry["verified"] is True, entry["verification"]
        assert entry["accuracy"] >= least[name], name
        assert all(check["inputs"] >= 1000 for check in entry["verification"])


def test_hls_simulation_is_bit_exact(first: dict[str, Any]) -> None:
    (check,) = first["targets"]["pynq-z2"]["verification"]
    assert check["equal"] == 1
    assert check["max_difference"] == 0


def test_tflite_runs_in_two_runtimes(first: dict[str, Any]) -> None:
    checks = first["targets"]["raspberry-pi-4"]["verification"]
    assert {"litert", "tflite-runtime"} <= {check["runtime"].lower() for check in checks}
    assert all(check["version"] and check["resolver"] for check in checks)


def test_retraining_is_reported(first: dict[str, Any]) -> None:
    for name, method in (("pynq-z2", "qkeras"), ("raspberry-pi-4", "int8")):
        entry = first["targets"][name]
        assert entry["compress"]["method"] == method
        assert len(entry["history"]["val_accuracy"]) >= 1
        assert entry["accuracy_retrained"] > 0.9
    layers = first["targets"]["pynq-z2"]["layers"]
    assert {layer["weight_bits"] for layer in layers if layer["kind"] in ("conv2d", "dense")} == {6}


def test_every_estimate_has_band_method_and_source(first: dict[str, Any]) -> None:
    for entry in first["targets"].values():
        quantities = entry["estimates"]
        assert {"macs", "parameters", "weight_memory", "model_size", "latency"} <= set(quantities)
        assert {"power", "energy_per_inference"} <= set(quantities)
        for figure in quantities.values():
            assert figure["source"]
            if figure["value"] is None:
                assert figure["reason"]
            else:
                assert figure["low"] <= figure["value"] <= figure["high"]


def test_report_follows_its_published_schema(first: dict[str, Any]) -> None:
    import jsonschema

    jsonschema.validate(first, json_schema())


def test_artifacts_are_where_the_report_says(first: dict[str, Any], place: Path) -> None:
    output = place / "work" / "out"
    for name, kind in (
        ("pynq-z2", "hls_project"),
        ("raspberry-pi-4", "tflite"),
        ("tpu-v5e", "stablehlo"),
    ):
        assert (output / first["targets"][name]["artifacts"][kind]).exists()
    assert (place / "work" / "hls_projects" / "digits-pynq-z2" / "README.md").is_file()
    html = (output / "report.html").read_text()
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", html, flags=re.DOTALL)
    assert markup.count("<script") >= 1
    assert not re.search(r'(?:src|href)="(?:https?:)?//', markup)


def test_second_run_does_nothing_again(first: dict[str, Any], place: Path) -> None:
    again = run(DIGITS / "digits.yaml", place / "work", place / "store")
    assert all(stage["cached"] for stage in again["stages"])
    assert again["targets"] == first["targets"]


def test_hgq2_recipe(first: dict[str, Any], place: Path) -> None:
    record = run(DIGITS / "digits-hgq2.yaml", place / "hgq2", place / "store")
    entry = record["targets"]["pynq-z2"]
    assert entry["compress"]["method"] == "hgq2"
    assert entry["verified"]
    assert entry["verification"][0]["equal"] == 1
    assert entry["accuracy"] >= 0.96


def test_tuned_types(first: dict[str, Any], place: Path) -> None:
    """The float model, in the narrowest types that keep its accuracy to half a percent."""
    recipe = yaml.safe_load((DIGITS / "digits.yaml").read_text())
    recipe["targets"] = {"pynq-z2": {"options": {"precision": "tuned", "max_loss": 0.005}}}
    path = place / "tuned.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    record = run(path, place / "tuned", place / "store")
    entry = record["targets"]["pynq-z2"]
    found = entry["precision"]
    assert entry["verified"], entry["verification"]
    assert entry["accuracy"] >= record["accuracy"] - 0.005
    assert entry["accuracy"] == pytest.approx(found["after"]["test"], abs=0.003)
    assert found["after"]["ebops"] < found["before"]["ebops"] / 4
    assert entry["verification"][0]["emulated"] == 1
    assert entry["overflows"] == []
    fragment = place / "tuned" / "out" / entry["artifacts"]["precision"]
    assert yaml.safe_load(fragment.read_text()) == {"layers": found["layers"]}
    seconds = {stage["title"]: stage["seconds"] for stage in record["stages"]}
    assert seconds["tune the types"] < 60


@pytest.fixture(scope="module")
def quick(place: Path) -> Path:
    """The same recipe with little training."""
    text = (DIGITS / "digits.yaml").read_text()
    text = re.sub(r"epochs: \d+", "epochs: 2", text)
    text = re.sub(r"method: (qkeras|int8)", r"method: \1, epochs: 1", text)
    text = re.sub(r"(epochs: 1.*?), epochs: \d+", r"\1", text)
    path = place / "quick.yaml"
    path.write_text(text)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """All artifacts, without the reports (they hold times)."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("out", "hls_projects")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and path.name not in ("report.json", "report.html")
    }


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key not in ("created", "stages")}
    return kept


@pytest.fixture(scope="module")
def undisturbed(quick: Path, place: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    record = run(quick, place / "undisturbed", place / "store-undisturbed")
    return contents(place / "undisturbed"), without_times(record)


def test_killed_again_and_again_it_resumes(
    quick: Path, place: Path, undisturbed: tuple[dict[str, bytes], dict[str, Any]]
) -> None:
    """kill -9 after ever longer times, until it gets through: the artifacts are the same."""
    folder, store = place / "killed", place / "store-killed"
    folder.mkdir()
    kills = 0
    for delay in itertools.chain((0.3, 2, 5, 9, 14), itertools.repeat(18)):
        process = start(quick, folder, store)
        try:
            _, errors = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            assert kills < 30, "it does not get on"
            continue
        assert process.returncode == 0, errors
        break
    assert kills >= 3
    assert contents(folder) == undisturbed[0]
    assert without_times(report(folder)) == undisturbed[1]
    assert not list((store / "tmp").glob("*"))
    hidden = [path.name for path in folder.rglob(".*") if path.is_file()]
    assert set(hidden) <= {".edgeflow-manifest.json"}  # the project's own, by which edits are seen


def test_two_at_once_share_the_work(
    quick: Path, place: Path, undisturbed: tuple[dict[str, bytes], dict[str, Any]]
) -> None:
    store = place / "store-two"
    processes = []
    for name in ("one", "two"):
        folder = place / name
        folder.mkdir()
        processes.append(start(quick, folder, store))
    for process in processes:
        _, errors = process.communicate(timeout=1200)
        assert process.returncode == 0, errors
    one, two = report(place / "one"), report(place / "two")
    assert contents(place / "one") == contents(place / "two") == undisturbed[0]
    worked = [{s["key"] for s in record["stages"] if not s["cached"]} for record in (one, two)]
    assert not worked[0] & worked[1], "a job was run twice"
    done = {path.name for path in (store / "done").glob("*/*")}
    assert worked[0] | worked[1] <= done


def test_interrupt_ends_with_130_and_keeps_what_is_done(quick: Path, place: Path) -> None:
    folder, store = place / "interrupted", place / "store-interrupted"
    folder.mkdir()
    process = start(quick, folder, store)
    end = time.monotonic() + 120
    while not list((store / "done").glob("*/*")) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "run the same command again" in errors
    logs = re.findall(r"log of a job that was ended: (\S+)", errors)
    assert logs
    assert all(Path(log).is_file() for log in logs)
    assert list((store / "done").glob("*/*"))
    assert not list((store / "tmp").glob("*"))
