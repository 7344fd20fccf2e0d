"""Checks what people write against a schema: every fault at once, with the nearest known name."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeflow.errors import RecipeError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

TAG = re.compile(
    r"^((int|float|str|bool|[A-Z_]\w*)$|literal\[|constrained-|function-|list\[|dict\[)"
)
"""How pydantic names the types of a union in a fault's path."""

Place = Sequence[str | int]


def options(
    model_type: type[BaseModel],
    given: Mapping[str, Any],
    where: str,
    *,
    what: str = "option",
    exclude_none: bool = False,
) -> dict[str, Any]:
    """Options as JSON, with their defaults filled in.

    Args:
        model_type: their schema.
        given: what the user wrote.
        where: its place, such as ``recipe.yaml:12``.
        what: the word for a key, in messages.
        exclude_none: leave out what has no value.

    Raises:
        RecipeError: naming every unknown key and wrong value at once.
    """
    from pydantic import ValidationError

    try:
        checked = model_type.model_validate(dict(given))
        return checked.model_dump(mode="json", exclude_none=exclude_none)
    except ValidationError as error:
        found = list(dict.fromkeys(message for _, message in faults(model_type, error, what)))
    if len(found) == 1:
        raise RecipeError(found[0], where=where)
    raise RecipeError(f"{len(found)} {what}s are wrong", where=where, details=found)


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that most resemble this one, best first; may be empty."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def suggest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, or the list of what is known."""
    names = list(known)
    near = nearest(name, names, 1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is known"


def faults(
    model_type: type[BaseModel], error: ValidationError, what: str = "key"
) -> Iterator[tuple[Place, str]]:
    """Each fault that pydantic found: its path and what is wrong, in plain words.

    A value that fits none of several types is one fault.
    """
    found: dict[tuple[str | int, ...], tuple[list[str], str]] = {}
    for item in error.errors(include_url=False):
        unknown = item["type"] == "extra_forbidden"
        place = _place(model_type, item["loc"][:-1] if unknown else item["loc"])
        place += item["loc"][-1:] if unknown else ()
        name = ".".join(str(part) for part in place)
        if unknown:
            known = _known_keys(model_type, place[:-1])
            yield place, f"unknown {what} '{name}' ({suggest(str(place[-1]), known)})"
        elif item["type"] == "missing":
            yield place[:-1], f"the {what} '{name}' is missing"
        else:
            messages, _ = found.setdefault(place, ([], _found(item)))
            messages.append(_message(item))
    for place, (messages, shown) in found.items():
        name = ".".join(str(part) for part in place)
        yield place, f"'{name}': {', or '.join(dict.fromkeys(messages))}{shown}"


def _place(model_type: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The path without the names of types, which pydantic adds where there are several."""
    place: tuple[str | int, ...] = ()
    for part in loc:
        if isinstance(part, str) and TAG.match(part) and part not in _known_keys(model_type, place):
            continue
        place += (part,)
    return place


def _message(item: ErrorDetails) -> str:
    message = item["msg"]
    for prefix in ("Value error, ", "Assertion failed, "):
        message = message.removeprefix(prefix)
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        choices = re.findall(r"'([^']*)'", str(item.get("ctx", {}).get("expected", "")))
        near = nearest(item["input"], choices, 1)
        message += f" (did you mean '{near[0]}'?)" if near else ""
    return f"{message[:1].lower()}{message[1:]}"


def _found(item: ErrorDetails) -> str:
    found = item["input"]
    if isinstance(found, (str, int, float, bool)):
        return f", found {found!r}"[:120]
    if found is None or isinstance(found, (Mapping, list)):
        return f", found {name_type(found)}"
    return ""


def _known_keys(model_type: type[BaseModel], place: Place) -> list[str]:
    """The keys that the schema allows at a path."""
    kinds: list[Any] = [model_type]
    for part in place:
        inner: list[Any] = []
        for kind in kinds:
            inner += _inside(kind, part)
        kinds = inner or kinds
    names: list[str] = []
    for kind in kinds:
        fields = getattr(kind, "model_fields", {})
        names += [field.alias or name for name, field in fields.items()]
    return names


def _inside(kind: Any, part: str | int) -> list[Any]:
    """The types that the schema allows for one key or index of a type."""
    fields = getattr(kind, "model_fields", None)
    if fields is not None:
        for name, field in fields.items():
            if part in (name, field.alias):
                return _alternatives(field.annotation)
        return []
    return [t for arg in typing.get_args(kind)[-1:] for t in _alternatives(arg)]


def _alternatives(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [t for arg in typing.get_args(annotation) for t in _alternatives(arg)]
    return [annotation]


def name_type(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    return f"{value!r}"[:80]
