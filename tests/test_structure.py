"""The house: who may import whom, and what may be heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgeflow

PACKAGE = Path(edgeflow.__file__).parent
HEAVY = set(
    "tensorflow tf_keras keras qkeras hgq hls4ml da4ml h5py onnx onnxruntime qonnx sklearn scipy "
    "ai_edge_litert tflite_runtime jax jaxlib libtpu tensorflow_model_optimization".split()
)
CORE_ONLY = set("pydantic typer paramiko plotly uv".split())  # in no toolchain's lock
ORDER = (
    ("__main__",),
    ("cli",),
    ("api", "doctor"),
    ("calibrating",),
    ("estimating",),
    ("subject",),
    ("pipeline",),
    ("verifying",),
    ("record", "placing"),
    ("recipe",),
    ("compress", "backends", "deploy", "report"),
    ("whatif", "corrections", "described"),
    ("estimate", "synthesis"),
    ("verify", "golden_job", "data_job", "artifacts"),
    ("frontends",),
    ("parts",),
    ("targets",),
    ("yamlfile", "targetfile"),
    ("jobs", "validation"),
    ("jobclient", "jobserver"),
    ("toolchains",),
    ("store", "network"),
    ("errors",),
)
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_job(path: Path) -> bool:
    return path.name == "job.py" or path.name.endswith("_job.py")


def imports(path: Path, inside_functions: bool = True) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if inside_functions else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.partition(".")[0] == "edgeflow":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_only_jobs_import_frameworks(path: Path) -> None:
    if is_job(path):
        return
    assert not {name.partition(".")[0] for name in imports(path)} & HEAVY


@pytest.mark.parametrize("path", [p for p in SOURCES if is_job(p)], ids=module_name)
def test_jobs_need_nothing_of_the_core(path: Path) -> None:
    """All that a job imports of ours, in turn, must live without the core's packages."""
    seen: set[Path] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for name in imports(current):
            root, _, rest = name.partition(".")
            assert root not in CORE_ONLY, f"{module_name(current)} imports {name}"
            if root == "edgeflow" and rest:
                stem = PACKAGE.joinpath(*rest.split("."))
                parents = [p / "__init__.py" for p in stem.parents if PACKAGE in p.parents]
                todo += [
                    p
                    for p in (stem.with_suffix(".py"), stem / "__init__.py", *parents)
                    if p.is_file()
                ]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] == "__init__":
        return
    mine = LEVEL[parts[0]]
    for name in imports(path):
        words = name.split(".")
        if words[0] != "edgeflow" or len(words) < 2 or words[1] not in LEVEL:
            continue
        assert LEVEL[words[1]] >= mine, f"{module_name(path)} imports {name}, which stands above it"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_no_dangerous_calls(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "os.system", "pickle.load", "pickle.loads"), (
                called
            )
            for keyword in node.keywords:
                if keyword.arg in ("shell", "allow_pickle"):
                    assert ast.unparse(keyword.value) == "False", ast.unparse(node)
        if isinstance(node, ast.Import):
            assert "pickle" not in [alias.name for alias in node.names]


def test_importing_the_library_is_light() -> None:
    code = (
        "import sys, edgeflow, edgeflow.cli.app;"
        "print(sorted(n for n in ('numpy', 'pydantic', 'jinja2', 'paramiko', 'plotly', 'yaml') "
        "if n in sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "[]"
