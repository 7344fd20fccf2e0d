"""The recipe: what to do with which model, for which targets. One YAML file, checked as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edgeflow import yamlfile
from edgeflow.errors import RecipeError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainSpec(_Strict):
    """How the float model is trained from its layers."""

    epochs: int = Field(40, ge=1, le=100_000, description="at most this many passes")
    batch_size: int = Field(32, ge=1, description="samples per step")
    learning_rate: float = Field(0.002, gt=0, description="of Adam, at the start")
    patience: int = Field(10, ge=1, description="stop after so many passes without improvement")
    validation_fraction: float = Field(0.15, gt=0, lt=1, description="held out of the train data")


class ModelSpec(_Strict):
    """The model: a file, or layers to train."""

    file: Path | None = Field(None, description="model file, relative to the recipe")
    weights: Path | None = Field(None, description="weights file of an architecture .json")
    layers: list[str | dict[str, dict[str, Any] | None]] | None = Field(
        None,
        description="Keras layers by their snake_case names, with their arguments; each is called "
        "by its kind and place (dense_4 is the fourth) unless it has a 'name'",
    )
    train: TrainSpec = Field(default_factory=TrainSpec, description="how `layers` are trained")

    @model_validator(mode="after")
    def _one_of(self) -> ModelSpec:
        if (self.file is None) == (self.layers is None):
            raise ValueError("expected either 'file' or 'layers'")
        if self.layers is not None and not self.layers:
            raise ValueError("expected at least one layer in 'layers'")
        if self.weights is not None and self.file is None:
            raise ValueError("'weights' goes with 'file'")
        return self


class DataSpec(_Strict):
    """The data: a built-in source, or an .npz file."""

    source: str | None = Field(None, description="built in: sklearn:digits")
    file: Path | None = Field(
        None, description=".npz with x_train, y_train, x_test, y_test, or x and y to split"
    )
    test_fraction: float = Field(0.25, gt=0, lt=1, description="held out where the file is whole")
    classes: int | None = Field(None, ge=2, description="labels must be below it")
    task: str | None = Field(
        None, pattern="^(classification|regression|reconstruction)$", description="default: by y"
    )
    scale: float | Literal["unit", "standard"] | None = Field(
        None, description="a factor on x; unit: to [0, 1]; standard: mean 0, deviation 1"
    )
    flatten: bool = Field(False, description="samples become vectors")
    arrays: dict[str, str] | None = Field(
        None, description="role: array of the file, such as {x_test: x, y_test: y}"
    )
    limit: int | None = Field(None, ge=1, description="at most so many train samples")

    @model_validator(mode="after")
    def _one_of(self) -> DataSpec:
        if (self.source is None) == (self.file is None):
            raise ValueError("expected either 'source' or 'file'")
        return self


class CompressSpec(BaseModel):
    """How the model is retrained for a target; further keys are the method's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: str = Field(description="qkeras, hgq2, int8 or none")

    @property
    def given(self) -> dict[str, Any]:
        """The method's options as written."""
        return dict(self.model_extra or {})


class TargetSpec(_Strict):
    """What to make for one target."""

    target: str | None = Field(None, description="the target's name, where the key is another")
    backend: str | None = Field(None, description="default: the target's first")
    compress: CompressSpec | None = Field(None, description="default: the recipe's")
    options: dict[str, Any] = Field(default_factory=dict, description="the backend's options")
    project: Path | None = Field(
        None, description="folder for the HLS project; default hls_projects/NAME-TARGET"
    )


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = ("report.json", "report.html", "hls_projects")


def _by_name(value: Any) -> Any:
    """A list of names is short for targets without settings; an empty entry has none.

    The names become folders beside the report, so they must be plain.
    """
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        twice = {item for item in value if value.count(item) > 1}
        if twice:
            raise ValueError(f"the target '{min(twice)}' stands twice")
        value = {key: {} for key in value}
    if not isinstance(value, dict) or not value:
        raise ValueError("expected a list of targets, or targets with their settings")
    for key in value:
        if not isinstance(key, str) or not NAME.fullmatch(key) or key in RESERVED:
            raise ValueError(
                f"'{key}' cannot name a folder of results: expected letters, digits, '.', '_', "
                f"'-'; a target's file goes into its key 'target'"
            )
    return {key: {} if item is None else item for key, item in value.items()}


def _from_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


class Recipe(_Strict):
    """A whole recipe. Paths are relative to its folder."""

    name: str = Field("", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$", description="of the report")
    model: Annotated[ModelSpec, BeforeValidator(_from_file)]
    data: DataSpec | None = None
    compress: CompressSpec | None = Field(None, description="for targets that say no other")
    targets: Annotated[dict[str, TargetSpec], BeforeValidator(_by_name)] = Field(min_length=1)
    seed: int = Field(0, ge=0, description="of every random choice")
    verify_inputs: int = Field(1000, ge=1, description="golden vectors, real inputs first")


def load(path: Path) -> tuple[Recipe, yamlfile.Lines]:
    """Read and check a recipe; its paths become absolute.

    Raises:
        RecipeError: naming every fault with its line.
    """
    data, lines = yamlfile.read(path, RecipeError)
    recipe = yamlfile.validate(Recipe, data, lines, RecipeError)
    folder = path.absolute().parent
    recipe = recipe.model_copy(
        update={
            "name": recipe.name or path.stem,
            "model": _absolute(recipe.model, folder, ("file", "weights")),
            "data": recipe.data and _absolute(recipe.data, folder, ("file",)),
            "targets": {
                name: _target_absolute(name, spec, folder) for name, spec in recipe.targets.items()
            },
        }
    )
    _check_files(recipe, lines)
    return recipe, lines


def _absolute(spec: Any, folder: Path, names: tuple[str, ...]) -> Any:
    paths = {name: getattr(spec, name) for name in names}
    return spec.model_copy(
        update={name: folder / path for name, path in paths.items() if path is not None}
    )


def _target_absolute(name: str, spec: TargetSpec, folder: Path) -> TargetSpec:
    spec = _absolute(spec, folder, ("project",))
    target = spec.target or name
    if target.endswith((".yaml", ".yml")):  # a file, not a name
        spec = spec.model_copy(update={"target": str(folder / target)})
    return spec


def _check_files(recipe: Recipe, lines: yamlfile.Lines) -> None:
    places: Mapping[tuple[str, ...], Path | None] = {
        ("model", "file"): recipe.model.file,
        ("model", "weights"): recipe.model.weights,
        ("data", "file"): recipe.data.file if recipe.data else None,
    }
    missing = [
        f"{lines.where(place)}: there is no file '{path}'"
        for place, path in places.items()
        if path is not None and not path.exists()
    ]
    if missing:
        raise RecipeError(
            "the recipe names files that do not exist",
            where=str(lines.path),
            details=missing,
            remedy="paths are relative to the recipe's folder",
        )


def place_of_option(place: tuple[str, ...] = ()) -> str:
    """Where a value of `from_files` was given: `yamlfile.Lines.where` for a command line."""
    return "--option" if place[-1:] == ("options",) else "--target"


def json_schema() -> dict[str, Any]:
    """The recipe's JSON Schema, for editors."""
    return Recipe.model_json_schema()


def from_files(
    model: list[Path],
    targets: list[str],
    *,
    data: Path | None = None,
    backend: str | None = None,
    options: Mapping[str, Any] | None = None,
    inputs: int = 1000,
) -> Recipe:
    """The recipe that compiles a model as it is.

    Raises:
        RecipeError: there are not one or two model files, no inputs, or two targets of one name.
    """
    if inputs < 1:
        raise RecipeError(f"expected at least one golden vector, found {inputs}", where="--inputs")
    if not 1 <= len(model) <= 2:
        raise RecipeError(f"expected a model file and maybe its weights, found {len(model)} files")
    spec = ModelSpec(file=model[0].absolute(), weights=model[1].absolute() if model[1:] else None)
    return Recipe(
        name=_plain(model[0].stem) or "model",
        model=spec,
        data=DataSpec(file=data.absolute()) if data else None,
        targets=_named(targets, backend, dict(options or {})),
        verify_inputs=inputs,
    )


def _named(targets: list[str], backend: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Each target under its name; one that is given as a file under the file's."""
    found: dict[str, TargetSpec] = {}
    for target in targets:
        is_file = target.endswith((".yaml", ".yml"))
        name = _plain(Path(target).stem if is_file else target) or "target"
        if name in found and found[name].target != target:
            raise RecipeError(f"two targets are named '{name}': {found[name].target}, {target}")
        found[name] = TargetSpec(target=target, backend=backend, options=options)
    return found


def _plain(text: str) -> str:
    """The text as a folder's name: letters, digits and ``._-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
