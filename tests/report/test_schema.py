"""The schema: what it accepts, what it refuses, and its published form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import edgeflow.report
from edgeflow.errors import InputError
from edgeflow.report.schema import check, json_schema

SCHEMA = Path(edgeflow.report.__file__).parent / "schema.json"


def test_the_published_schema_is_the_code_s() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema()


def test_a_checked_report_follows_the_published_schema(sample: dict[str, Any]) -> None:
    record = check(sample)
    jsonschema.validate(record, json.loads(SCHEMA.read_text()))
    assert check(record) == record


def test_the_published_schema_refuses_what_is_missing(sample: dict[str, Any]) -> None:
    record = check(sample)
    del record["targets"]["pynq-z2"]["verified"]
    with pytest.raises(jsonschema.ValidationError, match="verified"):
        jsonschema.validate(record, json.loads(SCHEMA.read_text()))


def test_keys_of_later_versions_are_kept(sample: dict[str, Any]) -> None:
    record = sample
    record["targets"]["pynq-z2"]["placement"] = {"site": "X0Y0"}
    assert check(record)["targets"]["pynq-z2"]["placement"] == {"site": "X0Y0"}


def test_all_faults_are_named_at_once(sample: dict[str, Any]) -> None:
    record = sample
    record["targets"]["pynq-z2"]["estimates"]["power"]["low"] = 99.0
    record["targets"]["tpu-v5e"]["estimates"]["power"]["reason"] = None
    record["targets"]["raspberry-pi-4"]["artifacts"]["tflite"] = "/tmp/model.tflite"
    record["targets"]["raspberry-pi-4"]["estimates"]["latency"]["method"] = "guessed"
    del record["created"]
    with pytest.raises(InputError) as caught:
        check(record)
    text = str(caught.value)
    for words in (
        "pynq-z2.estimates.power: Value error, band",
        "tpu-v5e.estimates.power: Value error, an estimate without a value needs its reason",
        "artifacts.tflite: Value error, expected a path relative",
        "latency.method",
        "created: Field required",
    ):
        assert words in text


@pytest.mark.parametrize("version", ["edgeflow.report/2", None])
def test_another_version_is_refused(version: str | None, sample: dict[str, Any]) -> None:
    record = sample
    record["schema"] = version
    with pytest.raises(InputError, match=r"expected a report of schema 'edgeflow\.report/1'"):
        check(record)


def test_numbers_become_plain_json(sample: dict[str, Any]) -> None:
    record = sample
    target = record["targets"]["pynq-z2"]
    target["accuracy"] = np.float32(0.5)
    target["verification"][0]["max_difference"] = float("inf")
    target["layers"][0]["output_shape"] = np.array([8, 8, 1])
    checked = check(record)["targets"]["pynq-z2"]
    assert checked["accuracy"] == 0.5
    assert type(checked["accuracy"]) is float
    assert checked["verification"][0]["max_difference"] is None
    assert checked["layers"][0]["output_shape"] == [8, 8, 1]
    assert check(record)["targets"]["raspberry-pi-4"]["history"]["loss"] == [1.0, None, 0.2]
    json.dumps(checked, allow_nan=False)
