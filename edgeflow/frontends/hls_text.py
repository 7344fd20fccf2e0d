"""What stands in the sources of an hls4ml project, read as plain text: nothing is compiled or run.

`read` gives what ``hls4ml_firmware_config`` files hold, and more where the sources tell it:
``types`` (each typedef of ``defines.h``, resolved), ``layers`` (each configuration struct of
``parameters.h``: ``name``, ``kind``, its constants and types) and ``calls`` (the layers of the top
function in their order: ``function``, ``config``, ``types``, ``inputs``, ``output``, ``weights``,
``name``).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgeflow.errors import ModelError

MAX_BYTES: Final = 20_000_000
"""Of one source file; hls4ml's own are far below a megabyte."""

STRUCT: Final = re.compile(r"struct\s+(\w+)\s*:\s*nnet::(\w+)\s*\{(.*?)\n\s*\};", re.DOTALL)
CONSTANT: Final = re.compile(
    r"static\s+(?:const(?:expr)?\s+)[\w:<>, ]*?\b(\w+)\s*=\s*([^;]+);", re.DOTALL
)
TYPEDEF: Final = re.compile(r"typedef\s+([^;]+?)\s+(\w+)\s*;")
USING: Final = re.compile(r"using\s+(\w+)\s*=\s*([^;]+);")
DEFINE: Final = re.compile(r"^[ \t]*#define[ \t]+(\w+)[ \t]+([^\n]+?)[ \t]*$", re.MULTILINE)
CALL: Final = re.compile(
    r"nnet::(\w+)\s*<([^;()]*)>\s*\(([^;()]*)\)\s*;[ \t]*(?://[ \t]*([^\n]*))?"
)
CLONE: Final = re.compile(r"nnet::clone_stream\s*<[^;()]*>\s*\(([^;()]*)\)")
ALIAS: Final = re.compile(r"auto\s*&\s*(\w+)\s*=\s*(\w+)\s*;")
COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

MERGES: Final = (
    "add", "subtract", "multiply", "average", "maximum", "minimum", "dot1d", "concatenate",
)  # fmt: skip
"""Functions that read two tensors."""

WEIGHTS: Final = re.compile(r"w\d+$")

NO_LAYERS: Final = ("load_weights", "print_", "save_", "copy_data", "fill_", "clone_stream")


def text_of(path: Path) -> str:
    """A source file's text.

    Raises:
        ModelError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot read the source: {error.strerror}", where=str(path)) from None
    if len(raw) > MAX_BYTES:
        raise ModelError(f"expected at most {MAX_BYTES:,} bytes, found more", where=str(path))
    return raw.decode("utf-8", "replace")


def read(firmware: Path, top: str | None = None) -> dict[str, Any]:
    """What the sources in a ``firmware`` folder say.

    Args:
        firmware: holds ``parameters.h``, ``defines.h``, maybe the top function's ``.cpp``.
        top: the top function's name; else the only ``.cpp`` that calls layers.

    Raises:
        ModelError: ``parameters.h`` is missing, or has no layers.
    """
    parameters = firmware / "parameters.h"
    if not parameters.is_file():
        raise ModelError(
            "expected an hls4ml project: firmware/parameters.h is missing", where=str(firmware)
        )
    defines = firmware / "defines.h"
    shared = text_of(defines) if defines.is_file() else ""
    text = text_of(parameters)
    numbers = dict(DEFINE.findall(shared + "\n" + text))
    types = typedefs(shared)
    found = []
    for match in STRUCT.finditer(text):
        found.append({"name": match[1], "kind": match[2], **_body(match[3], types, numbers)})
    if not found:
        raise ModelError(
            "no layer's configuration was found (struct configN : nnet::…)", where=str(parameters)
        )
    return {"types": types, "layers": found, "calls": _calls(firmware, top, types)}


def typedefs(text: str) -> dict[str, str]:
    """Each typedef of a header, those of others followed to the end."""
    plain = COMMENT.sub("", text)
    raw = {name: kind.strip() for kind, name in TYPEDEF.findall(plain)}
    raw |= {name: kind.strip() for name, kind in USING.findall(plain)}
    return {name: _followed(kind, raw) for name, kind in raw.items()}


def _followed(kind: str, types: Mapping[str, str]) -> str:
    for _ in range(8):
        if kind not in types:
            break
        kind = types[kind]
    return kind


def _body(text: str, types: Mapping[str, str], numbers: Mapping[str, str]) -> dict[str, Any]:
    """The constants and types of a struct."""
    plain = COMMENT.sub("", text)
    raw = {name: value.strip() for name, value in CONSTANT.findall(plain)}
    found: dict[str, Any] = {}
    for name, value in raw.items():
        number = whole(value, {**numbers, **raw})
        found[name] = value if number is None else number
    for kind, name in TYPEDEF.findall(plain):
        found[name] = _followed(kind.strip(), types)
    for name, value in USING.findall(re.sub(r"template\s*<[^>]*>\s*", "", plain)):
        found.setdefault(name, value.strip())
    return found


def whole(text: str, names: Mapping[str, str], depth: int = 0) -> int | None:
    """The value of an expression of whole numbers and names (+, -, *, /); None for others.

    >>> whole("OUT_HEIGHT_2*OUT_WIDTH_2", {"OUT_HEIGHT_2": "4", "OUT_WIDTH_2": "8"})
    32
    """
    if len(text) > 200 or depth > 8:
        return None
    try:
        tree = ast.parse(text.strip().removesuffix("u").removesuffix("U"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _walked(tree, names, depth)


def _walked(node: ast.expr, names: Mapping[str, str], depth: int) -> int | None:
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return whole(names[node.id], names, depth + 1) if node.id in names else None
    if not isinstance(node, ast.BinOp):
        return None
    left, right = (_walked(side, names, depth) for side in (node.left, node.right))
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(node.op, ast.Sub):
        return left - right
    if isinstance(node.op, ast.Mult):
        return left * right
    if isinstance(node.op, ast.Div | ast.FloorDiv) and right:
        return left // right
    return None


def _calls(firmware: Path, top: str | None, types: Mapping[str, str]) -> list[dict[str, Any]]:
    """The layers that the top function calls, in their order; empty where it is not there."""
    files = [firmware / f"{top}.cpp"] if top else []
    files = [file for file in files if file.is_file()] or sorted(firmware.glob("*.cpp"))
    for file in files:
        text = text_of(file)
        alias = dict(ALIAS.findall(text))
        for arguments in CLONE.findall(text):
            names = [part.strip() for part in arguments.split(",")]
            alias |= dict.fromkeys(names[1:], names[0])
        found = []
        for function, template, arguments, comment in CALL.findall(text):
            if function.startswith(NO_LAYERS):
                continue
            kinds = _split(template)
            names = [part.strip() for part in arguments.split(",")]
            if len(names) < 2 or not kinds:
                continue
            merged = function.startswith(MERGES)
            # A function with a parameter (elu, prelu) has it between input and output.
            place = 2 if len(kinds) >= 4 and len(names) > 2 else 1
            found.append(
                {
                    "function": function,
                    "config": kinds[-1],
                    "types": [_followed(kind, types) for kind in kinds[:-1]],
                    "inputs": [_origin(name, alias) for name in names[: 2 if merged else 1]],
                    "output": names[place],
                    "weights": next((n for n in names[place + 1 :] if WEIGHTS.match(n)), ""),
                    "name": comment.strip().split(" ")[0] if comment.strip() else "",
                }
            )
        if found:
            return found
    return []


def _origin(name: str, alias: Mapping[str, str]) -> str:
    for _ in range(50):
        if name not in alias:
            break
        name = alias[name]
    return name


def _split(text: str) -> list[str]:
    """Template arguments, commas inside of others' left alone."""
    found, depth, part = [], 0, ""
    for sign in text:
        depth += (sign == "<") - (sign == ">")
        if sign == "," and depth == 0:
            found.append(part.strip())
            part = ""
        else:
            part += sign
    return [*found, part.strip()] if part.strip() else found
