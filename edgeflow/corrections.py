"""A user's own measurements, and what they make of an estimate.

A correction is of one target, runtime and quantity: the factor by which measurements differed from
the estimates (the median of the models' factors), and the band that is left, found by leaving each
model out in turn (`edgeflow.estimate.conformal`). With few models the estimator's own band still
counts: n models leave at least ``band ** (1 / sqrt(n))`` of it, which with one model is the whole
band, or the factor itself where that is more. Corrections are stored as JSON, in the user's folder
by default.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import InputError, StoreError
from edgeflow.estimate import conformal
from edgeflow.estimate.quantity import Estimate
from edgeflow.targets import Target

FORMAT: Final = "edgeflow.calibration/1"
VARIABLE: Final = "EDGEFLOW_CALIBRATION"
MANY: Final = 9
"""Models from which the conformal band stands alone."""

OUTSIDE: Final = 1.5
"""How many times wider the band is for a network more than `REACH` times smaller or larger than
those that were measured: an assumption."""
REACH: Final = 3.0

ENERGY: Final = {
    "energy_per_inference": ("latency", "power"),
    "chip_energy_per_inference": ("latency", "chip_power"),
}
"""Energies follow where their time or power is corrected and they are not."""


Key = tuple[str, str | None, str]
"""Target, runtime, quantity."""


@dataclass(frozen=True)
class Measured:
    """One measurement beside its estimate. ``group`` is the model; ``macs`` its size."""

    target: str
    runtime: str | None
    quantity: str
    group: str
    truth: float
    estimate: Estimate
    macs: float


@dataclass(frozen=True)
class Correction:
    """What measurements on a target say of a quantity's estimates.

    ``factor``: truth over estimate; ``band``: the factor up and down that holds nine in ten of the
    corrected; ``models`` and ``rows`` it is from; ``least_macs`` and ``most_macs`` of those models.
    """

    target: str
    runtime: str | None
    quantity: str
    factor: float
    band: float
    models: int
    rows: int
    least_macs: float
    most_macs: float
    source: str

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.target, self.runtime, self.quantity


@dataclass(frozen=True)
class Calibrated:
    """What a table gave. ``before`` and ``after``: by (target, runtime, quantity), the median
    error of the estimates as they are, and corrected without the row's own model; None where
    there is one model. ``notes``: rows that could not be used."""

    corrections: list[Correction]
    before: Mapping[Key, float]
    after: Mapping[Key, float | None]
    notes: list[str] = field(default_factory=list)


def fit(rows: Sequence[Measured], source: str) -> list[Correction]:
    """The corrections of measurements, one per target, runtime and quantity."""
    groups: dict[Key, list[Measured]] = {}
    for row in rows:
        groups.setdefault((row.target, row.runtime, row.quantity), []).append(row)
    return [_fitted(own, source) for own in groups.values()]


def _fitted(rows: Sequence[Measured], source: str) -> Correction:
    first = rows[0]
    by_model: dict[str, list[Measured]] = {}
    for row in rows:
        by_model.setdefault(row.group, []).append(row)
    factor = _factor(list(by_model.values()))
    residuals = []
    for name, own in by_model.items():
        others = [rows for other, rows in by_model.items() if other != name]
        guess = _factor(others) if others else factor
        residuals += [(name, conformal.ratio(_ratio(row), guess)) for row in own]
    count = len(by_model)
    # The estimator's own band, as a factor: the median over the rows.
    own_band = math.exp(_median([_log_band(row.estimate) for row in rows]))
    # A board that lies outside of the band is unlike those it came from: its models may be, too.
    least = max(own_band, factor, 1 / factor)
    band = conformal.factor(residuals) if count > 1 else least
    if count < MANY:
        band = max(band, least ** (1 / math.sqrt(count)))
    macs = [row.macs for row in rows]
    return Correction(
        first.target, first.runtime, first.quantity, float(f"{factor:.4g}"),
        math.ceil(band * 1000) / 1000, count, len(rows), min(macs), max(macs), source,
    )  # fmt: skip


def _factor(groups: Sequence[Sequence[Measured]]) -> float:
    """The median of the models' factors, each the (geometric) median of its own rows."""
    return math.exp(_median([_median([math.log(_ratio(r)) for r in rows]) for rows in groups]))


def _ratio(row: Measured) -> float:
    assert row.estimate.value is not None
    return row.truth / row.estimate.value


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _log_band(figure: Estimate) -> float:
    """Half the width of a band in logarithms; that of a band from 0 is the upper half's."""
    assert figure.value is not None
    low, high = figure.low or 0.0, figure.high or figure.value
    up = math.log(high / figure.value) if high > 0 else 0.0
    down = math.log(figure.value / low) if low > 0 else up
    return max(up, down)


def apply(
    figures: Mapping[str, Estimate],
    target: Target,
    macs: float,
    corrections: Sequence[Correction] | None = None,
) -> dict[str, Estimate]:
    """The figures with what was measured on this target, each saying so in its source.

    ``corrections`` are those of `find` by default. Only what a model estimated is corrected: what
    was measured or synthesised stays.
    """
    runtime = target.settings.get("runtime")
    mine = {
        one.quantity: one
        for one in (find() if corrections is None else corrections)
        if one.target == target.name and (one.runtime is None or one.runtime == runtime)
    }
    found = dict(figures)
    for name, one in mine.items():
        if name in found and _open(found[name]):
            found[name] = _corrected(found[name], one, macs)
    for name, parts in ENERGY.items():
        used = [mine[part] for part in parts if part in mine and part in figures]
        if name in found and name not in mine and used and _open(found[name]):
            factor = math.prod(one.factor for one in used)
            said = " and ".join(one.quantity for one in used)
            found[name] = _scaled(
                found[name], factor, f"x {factor:.3g}, as {said} by own measurements"
            )
    return found


def _open(figure: Estimate) -> bool:
    return figure.method == "model" and bool(figure.value)


def _scaled(figure: Estimate, factor: float, words: str) -> Estimate:
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    return replace(
        figure,
        value=figure.value * factor,
        low=figure.low * factor,
        high=figure.high * factor,
        source=f"{figure.source}; {words}",
    )


def _corrected(figure: Estimate, one: Correction, macs: float) -> Estimate:
    assert figure.value is not None
    value, band = figure.value * one.factor, one.band
    words = (
        f"x {one.factor:.3g} by own measurements of {one.models} model"
        f"{'s' if one.models > 1 else ''} on this target ({one.source})"
    )
    if not one.least_macs / REACH <= macs <= one.most_macs * REACH:
        band *= OUTSIDE
        words += (
            f"; {macs:,.0f} MACs are outside of the {one.least_macs:,.0f} to "
            f"{one.most_macs:,.0f} that were measured, so the band is {OUTSIDE:g} times wider"
        )
    return replace(
        figure, value=value, low=value / band, high=value * band, source=f"{figure.source}; {words}"
    )


def default_path() -> Path:
    """Where a user's corrections are: ``$XDG_CONFIG_HOME/edgeflow`` or ``~/.config/edgeflow``."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "edgeflow" / "calibration.json"


def find(given: Path | None = None) -> list[Correction]:
    """The corrections to use: of the file given, of ``$EDGEFLOW_CALIBRATION``, or the user's own.

    ``none`` in place of a file means none.

    Raises:
        InputError: a file that was named is missing, or it is no calibration.
    """
    said = str(given) if given is not None else os.environ.get(VARIABLE, "")
    if said.lower() == "none":
        return []
    if said:
        return load(Path(said))
    path = default_path()
    return load(path) if path.is_file() else []


def load(path: Path) -> list[Correction]:
    """Read what `save` wrote.

    Raises:
        InputError: it cannot be read, or is no calibration.
    """
    remedy = "`edgeflow calibrate --from results.csv` writes one"
    try:
        record = json.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"cannot read the calibration: {error.strerror}", where=str(path), remedy=remedy
        ) from None
    except ValueError as error:
        raise InputError(f"expected JSON: {error}", where=str(path), remedy=remedy) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"expected a calibration ('{FORMAT}')", where=str(path), remedy=remedy)
    try:
        found = [Correction(**one) for one in record["corrections"]]
        wrong = [
            one.key
            for one in found
            if not (one.factor > 0 and one.band >= 1 and math.isfinite(one.factor * one.band))
        ]
    except (TypeError, KeyError) as error:
        raise InputError(f"not a correction: {error}", where=str(path), remedy=remedy) from None
    if wrong:
        raise InputError(
            "expected factors above 0 and bands from 1", where=str(path),
            details=[f"{target}, {runtime or 'any runtime'}, {quantity}"
                     for target, runtime, quantity in wrong],
        )  # fmt: skip
    return found


def save(path: Path, corrections: Sequence[Correction]) -> None:
    """Write corrections; those of other targets and quantities in the file stay.

    Raises:
        StoreError: it cannot be written.
    """
    kept = {one.key: one for one in (load(path) if path.is_file() else [])}
    kept |= {one.key: one for one in corrections}
    ordered = sorted(kept.values(), key=lambda one: tuple(map(str, one.key)))
    record: dict[str, Any] = {"format": FORMAT, "corrections": [asdict(one) for one in ordered]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
    except OSError as error:
        raise StoreError.of(error, "the calibration", path, "give another --output") from None
