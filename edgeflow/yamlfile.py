"""YAML files that people write: read safely, checked against a schema, every fault with its line.

`read` parses a file and remembers where each value stands; `validate` checks the data against a
pydantic model and raises one error that lists all faults. Recipes and targets both use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml

from edgeflow.errors import InputError, RecipeError
from edgeflow.validation import Place, faults, name_type

if TYPE_CHECKING:
    from pydantic import BaseModel

    Checked = TypeVar("Checked", bound=BaseModel)

MAX_BYTES: Final = 1_000_000
MAX_VALUES: Final = 50_000
MAX_DEPTH: Final = 50
MAX_FAULTS: Final = 50

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Fault(Exception):
    """A fault at one line, on its way to `read`."""

    def __init__(
        self, message: str, node: yaml.Node | yaml.Event | None = None, remedy: str = ""
    ) -> None:
        super().__init__(message)
        mark = node.start_mark if node is not None else None
        self.line = mark.line + 1 if mark is not None else None
        self.remedy = remedy


@dataclass(frozen=True)
class Lines:
    """Where the values of a YAML file stand."""

    path: Path
    root: yaml.Node | None

    def at(self, place: Place) -> int:
        """The line (from 1) of the value at a path of keys and indices.

        A key's line is that of the key. Where the path leads out of the file (a missing key, a
        schema's own labels), it is the line of the last part that exists.
        """
        node, line = self.root, 1
        for part in place:
            found = _child(node, part)
            if found is not None:
                node, line = found
        return line

    def where(self, place: Place = ()) -> str:
        """``FILE:LINE`` of the value at a path."""
        return f"{self.path}:{self.at(place)}"


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None


def read(path: Path, error: type[InputError] = RecipeError) -> tuple[Any, Lines]:
    """Parse a YAML file with the safe loader, and remember the lines.

    Refused, besides what is not YAML: more than 1 MB, nesting of more than 50 levels, more than
    50,000 values once aliases are followed, duplicate keys, and tags of Python objects.

    Raises:
        InputError: of the given kind, with ``FILE:LINE``.
    """
    text = _text(path, error)
    try:
        _bound_depth(text)
        node, data = _compose(text)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        problem = getattr(fault, "problem", None) or str(fault).splitlines()[0]
        line = mark.line + 1 if mark is not None else 1
        raise error(
            f"expected YAML: {problem}",
            where=f"{path}:{line}",
            remedy="correct the line (a missing colon, quote or indentation is the usual cause)",
        ) from None
    except _Fault as fault:
        where = f"{path}:{fault.line}" if fault.line else str(path)
        raise error(str(fault), where=where, remedy=fault.remedy or None) from None
    except (RecursionError, ValueError, OverflowError) as fault:
        raise error(f"expected YAML: {fault}", where=str(path)) from None
    return data, Lines(path, node)


def _text(path: Path, error: type[InputError]) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as fault:
        raise error(
            f"cannot read the file: {fault.strerror}",
            where=str(path),
            remedy="check the path and its permissions",
        ) from None
    if len(raw) > MAX_BYTES:
        raise error(
            f"expected at most {MAX_BYTES:,} bytes of YAML, found more",
            where=str(path),
            remedy="keep data in files of its own and name them",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        raise error(
            f"expected UTF-8 text, found byte 0x{raw[fault.start]:02x}", where=f"{path}:{line}"
        ) from None


def _bound_depth(text: str) -> None:
    """Refuse deep nesting while only scanning: composing it would exhaust the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Fault(f"expected at most {MAX_DEPTH} levels of nesting, found more", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _bound(root: yaml.Node) -> None:
    """Refuse aliases that contain themselves or that multiply into too many values."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        key = id(node)
        if key in sizes:
            return sizes[key]
        if key in open_nodes:
            raise _Fault("an alias contains itself", node, "write the value out")
        open_nodes.add(key)
        total = 1
        if isinstance(node, yaml.MappingNode):
            total += sum(size(k) + size(v) for k, v in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        open_nodes.discard(key)
        if total > MAX_VALUES:
            raise _Fault(
                f"expected at most {MAX_VALUES:,} values (aliases followed), found more", node
            )
        sizes[key] = total
        return total

    size(root)


def _refuse_duplicates(root: yaml.Node) -> None:
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                name = (key.tag, str(key.value))
                if name in lines:
                    raise _Fault(
                        f"the key '{key.value}' stands twice, first on line {lines[name]}",
                        key,
                        "keep one of the two",
                    )
                lines[name] = key.start_mark.line + 1
                todo += [key, value]


def _compose(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes, which know their lines, and the plain data made from them."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _bound(node)
        _refuse_duplicates(node)
        return node, loader.construct_document(node)
    finally:
        loader.dispose()


def validate(
    model_type: type[Checked], data: Any, lines: Lines, error: type[InputError] = RecipeError
) -> Checked:
    """Check data that `read` gave against a pydantic model.

    Raises:
        InputError: of the given kind; its details list every fault with ``FILE:LINE``, unknown
            keys with the nearest valid name.
    """
    from pydantic import ValidationError

    if not isinstance(data, Mapping):
        raise error(
            f"expected keys and values, found {name_type(data)}",
            where=lines.where(),
            remedy=f"write at least {', '.join(_required(model_type)) or 'one key'}",
        )
    try:
        return model_type.model_validate(data)
    except ValidationError as fault:
        refuse(lines, faults(model_type, fault), error)
        raise AssertionError("pydantic refused without a fault") from None


def refuse(
    lines: Lines,
    faults: Iterable[tuple[Place, str]],
    error: type[InputError] = RecipeError,
    remedy: str | None = None,
) -> None:
    """Raise one error for all faults, each a path and a message; none where there is no fault."""
    found = sorted({(lines.at(place), message) for place, message in faults})
    if not found:
        return
    if len(found) == 1:
        line, message = found[0]
        raise error(message, where=f"{lines.path}:{line}", remedy=remedy)
    details = [f"{lines.path}:{line}: {message}" for line, message in found[:MAX_FAULTS]]
    if len(found) > MAX_FAULTS:
        details.append(f"and {len(found) - MAX_FAULTS} more")
    raise error(
        f"{len(found)} faults", where=str(lines.path), details=details, remedy=remedy
    ) from None


def _required(model_type: type[BaseModel]) -> list[str]:
    return [name for name, field in model_type.model_fields.items() if field.is_required()]
