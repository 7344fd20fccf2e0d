"""What ``report.json`` holds: its schema, version ``edgeflow.report/1``.

Additions keep the version; readers ignore keys that they do not know. ``schema.json`` beside this
file is the same as JSON Schema (`json_schema`), published for other programs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgeflow.errors import InputError
from edgeflow.estimate.quantity import Estimate as Quantity

FORMAT: Final = "edgeflow.report/1"

Number = int | float
Curves = dict[str, list[Number | None]]


class _Record(BaseModel):
    """A record of at least these keys; more are kept, so that later versions can add some."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


def _relative(path: str) -> str:
    if not path or PurePosixPath(path).is_absolute():
        raise ValueError(f"expected a path relative to the report's folder, found '{path}'")
    return path


ArtifactPath = Annotated[str, AfterValidator(_relative)]


class LayerRow(_Record):
    """One layer of a network. MACs are of one inference; sparsity is a fraction."""

    name: str
    kind: str
    output_shape: list[int | None] = []
    parameters: int = 0
    macs: int = 0
    weight_bits: Number | None = None
    activation_bits: Number | None = None
    sparsity: Number | None = None


class Totals(_Record):
    """Sums over a network's layers."""

    macs: int | None = None
    parameters: int | None = None


class ModelRecord(_Record):
    """The model that was given or trained."""

    name: str
    format: str | None = None
    sha256: str | None = None
    totals: Totals = Totals()
    layers: list[LayerRow] = []


class Data(_Record):
    """The data: how many examples are for training and for testing."""

    name: str
    task: str | None = None
    train: int | None = None
    test: int | None = None
    classes: int | list[str] | None = None


class Stage(_Record):
    """One job of the run; `seconds` is what it took when it ran, `cached` that it did not now."""

    title: str
    label: str = ""
    toolchain: str | None = None
    seconds: Number
    cached: bool = False
    key: str | None = None


class Estimate(_Record):
    """A quantity with its 90 % band, its method and its source (`edgeflow.estimate.quantity`)."""

    value: Number | None
    low: Number | None
    high: Number | None
    unit: str
    method: Literal["measured", "synthesised", "simulated", "model"]
    source: str
    reason: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Estimate:
        Quantity(  # raises ValueError
            self.value, self.low, self.high, self.unit, self.method, self.source, self.reason
        )
        return self


class Divergence(_Record):
    """The first layer whose output differs, by how much, and the element (index) where.

    Where the design's arithmetic was examined: which of the layer's types (`role`) does it, `why`
    (`low` and `high`: the values that it was given), the type that would not (`fix`), and that as
    the backend's option (`remedy`).
    """

    layer: str
    difference: Number | None = None
    index: int | list[int] | None = None
    role: str | None = None
    type: str | None = None
    low: Number | None = None
    high: Number | None = None
    why: str | None = None
    fix: str | None = None
    remedy: str | None = None


class Overflow(_Record):
    """A type whose values wrap on the golden inputs; `fraction` of them. Else as a divergence."""

    layer: str
    role: str
    type: str
    low: Number
    high: Number
    fraction: Number
    why: str
    fix: str | None = None
    remedy: str | None = None


class Allowed(_Record):
    """The tolerance that a comparison was held to, and why it is not 0."""

    absolute: Number
    agreement: Number
    reason: str = ""


class Verification(_Record):
    """One comparison of the artifact's outputs with the model's own.

    `equal` is the fraction of elements that are exactly equal, of the outputs or (`compared`) of
    the logits before a final softmax, `agreement` the fraction of inputs with the same largest
    output. `deciding`: whether `verified` depends on it. `emulated`: the fraction of elements that
    are what an emulation of the design's types gives.
    """

    runtime: str
    version: str | None = None
    resolver: str | None = None
    inputs: int
    equal: Number | None = None
    max_difference: Number | None = None
    mean_difference: Number | None = None
    agreement: Number | None = None
    compared: Literal["outputs", "logits"] = "outputs"
    softmax_difference: Number | None = None
    emulated: Number | None = None
    accuracy: Number | None = None
    tolerance: Allowed | None = None
    passed: bool
    deciding: bool = True
    first_divergence: Divergence | None = None
    explanation: str | None = None


class InputRounding(_Record):
    """What a design's input type does to the model's own outputs.

    `changed` and `outside` are fractions of the input values: not on the type's grid, and outside
    its range; `low` and `high` the inputs' range; `difference` the largest change of an input,
    `max_difference` of an output.
    """

    type: str
    changed: Number
    outside: Number
    low: Number
    high: Number
    difference: Number
    max_difference: Number | None
    agreement: Number
    accuracy_before: Number | None = None
    accuracy: Number | None = None


class TunedType(_Record):
    """One type of a layer, before and after tuning."""

    layer: str
    role: str
    before: str
    after: str
    macs: int = 0


class TunedScore(_Record):
    """A design's (or the model's) score on the inputs of the search, and on the golden ones.

    `ebops`: bits of weight x bits of input, summed over the multiplications that are not by 0.
    """

    score: Number
    test: Number
    ebops: Number | None = None


class Tuning(_Record):
    """What tuning the types gave: the narrowest that keep the score that was `asked` for."""

    metric: str
    asked: Number
    model: TunedScore
    before: TunedScore
    after: TunedScore
    agreement: Number
    steps: int
    samples: int
    rows: list[TunedType] = []
    layers: dict[str, dict[str, str]] = {}


class Compression(_Record):
    """How the model was retrained for this target."""

    method: str


class Deployment(_Record):
    """One run on a board (`edgeflow.deploy`). Times are in seconds."""

    host: str
    created: str
    runtime: str
    version: str
    resolver: str
    inputs: int
    equal: Number
    max_difference: Number | None
    agreement: Number
    passed: bool
    explanation: str = ""


class Comparison(_Record):
    """One of our estimates beside what was synthesised; `ratio` is predicted over found."""

    quantity: str
    predicted: Estimate
    found: Estimate
    ratio: Number | None = None
    within: bool


class SynthesisedLayer(_Record):
    """One layer by the vendor's tools: counts (``lut`` …), ``latency_cycles``, ``ii``."""

    number: int
    layer: str | None = None
    module: str | None = None
    hls: dict[str, Any] | None = None
    logic: dict[str, Any] | None = None


class VendorSynthesis(_Record):
    """What a vendor's reports say (`edgeflow.synthesis.vendor_reports.gather`).

    `hls`, `logic` and `system` have ``tool``, ``version``, ``file`` and counts. `comparison` is our
    estimates' trial. `remarks` are what a reader must know.
    """

    top: str | None = None
    part: str | None = None
    hls: dict[str, Any] | None = None
    logic: dict[str, Any] | None = None
    system: dict[str, Any] | None = None
    cosim: dict[str, Any] | None = None
    layers: list[SynthesisedLayer] = []
    comparison: list[Comparison] = []
    remarks: list[str] = []


class CompilerTable(_Record):
    """What a compiler said of its operators or layers, row by row."""

    title: str
    columns: list[str]
    rows: list[list[str | Number | None]] = []


class TargetRecord(_Record):
    """All about one target.

    `accuracy` is of the compiled artifact on the test data; `accuracy_retrained` of the retrained
    model, `accuracy_float` of the model before. Paths are relative to the report's folder.
    """

    backend: str
    target: str | None = None
    title: str = ""
    options: dict[str, Any] = {}
    accuracy: Number | None
    accuracy_float: Number | None = None
    accuracy_retrained: Number | None = None
    verified: bool
    verification: list[Verification] = []
    input_rounding: InputRounding | None = None
    overflows: list[Overflow] = []
    precision: Tuning | None = None
    compress: Compression | None = None
    history: Curves = {}
    layers: list[LayerRow] = []
    artifacts: dict[str, ArtifactPath]
    estimates: dict[str, Estimate]
    deployment: Deployment | None = None
    vendor_synthesis: VendorSynthesis | None = None
    tables: list[CompilerTable] = []
    notes: list[str] = []
    error: str | None = None


class Report(_Record):
    """The whole report.

    `earlier_targets` are folders beside the report that an earlier run with other targets left.
    """

    format: Literal["edgeflow.report/1"] = Field(alias="schema")
    edgeflow: str
    created: str
    name: str
    recipe: str | None = None
    model: ModelRecord
    data: Data | None = None
    metric: str | None = None
    accuracy: Number | None = None
    history: dict[str, Curves] = {}
    stages: list[Stage] = []
    targets: dict[str, TargetRecord]
    earlier_targets: list[str] = []


def json_schema() -> dict[str, Any]:
    """The schema as JSON Schema (draft 2020-12)."""
    schema = Report.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": FORMAT, **schema}


def check(record: Mapping[str, Any], where: str = "report") -> dict[str, Any]:
    """The record as plain JSON data that follows the schema, with every default filled in.

    Numbers that JSON cannot hold (NaN, infinities) become null; numpy's numbers plain ones.

    Raises:
        InputError: it does not follow the schema; `details` names every place.
    """
    found = record.get("schema")
    if found != FORMAT:
        raise InputError(
            f"expected a report of schema '{FORMAT}', found {_short(found)}",
            where=where,
            remedy="read it with the version of edgeflow that wrote it, or run again",
        )
    try:
        return Report.model_validate(_plain(record)).model_dump(mode="json", by_alias=True)
    except ValidationError as error:
        raise InputError(
            "the report does not follow its schema",
            where=where,
            details=[
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}, "
                f"found {_short(item['input'])}"
                for item in error.errors(include_url=False)
            ],
        ) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if type(value).__module__ == "numpy":
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
