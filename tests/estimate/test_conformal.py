"""Bands over groups left out."""

from __future__ import annotations

import random

import pytest

from edgeflow.estimate import conformal


def test_a_band_of_many_groups_holds_nine_further_ones_in_ten() -> None:
    draw = random.Random(0)
    held = []
    for _ in range(300):
        rows = [(str(group), 2 ** abs(draw.gauss(0, 1))) for group in range(30)]
        held.append(2 ** abs(draw.gauss(0, 1)) <= conformal.factor(rows))
    assert 0.86 <= sum(held) / len(held) <= 0.95


def test_groups_count_alike_however_many_rows_they_have() -> None:
    few = [(str(group), 1.1) for group in range(20)]
    assert conformal.factor([*few, *[("large", 9.0)] * 1000]) == 1.1


def test_with_few_groups_a_band_is_wider_than_what_was_seen() -> None:
    assert conformal.factor([("a", 1.5), ("b", 2.0)]) == 2.0 * conformal.FEW


def test_a_band_is_judged_by_the_other_groups_alone() -> None:
    rows = [("a", 1.0), ("b", 1.0), ("c", 5.0)]
    assert conformal.held(rows) == (2, 3)


def test_the_record_of_an_estimator_and_of_its_alternative() -> None:
    row = conformal.accuracy(
        [100, 200, 0], [110, 190, 0], ["a", "b", "c"],
        quantity="LUT", designs="three", offset=1.0, alternatives={"zero": [0.0, None, 0.0]},
    )  # fmt: skip
    assert row["median_error"] == 0.1
    assert row["within_2x"] == 1
    assert row["alternatives"]["zero"] == {"median_error": 1.0, "within_2x": 0.5, "rows": 2}


def test_amounts_of_nothing_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="above 0"):
        conformal.ratio(0, 1)
