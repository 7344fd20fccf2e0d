"""Writing and reading: whole files or none, clear errors, one page that needs no network."""

from __future__ import annotations

import errno
import html.parser
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeflow.errors import InputError, StoreError
from edgeflow.report.load import load
from edgeflow.report.schema import check
from edgeflow.report.write import prepare, write


class Page(html.parser.HTMLParser):
    """What a browser would see: tags, links, scripts, and text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


def test_what_is_written_is_what_is_read(sample: dict[str, Any], tmp_path: Path) -> None:
    write(sample, tmp_path / "new" / "folder")
    record = load(tmp_path / "new" / "folder")
    assert record == check(sample) == load(tmp_path / "new" / "folder" / "report.json")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "report.html",
        "report.json",
    ]


def test_the_page_is_self_contained(sample: dict[str, Any], tmp_path: Path) -> None:
    write(sample, tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "img", "object", "embed"}
        assert "src" not in attributes
        if "href" in attributes:
            assert str(attributes["href"]).startswith(("#", "./"))
        assert not [name for name in attributes if name.startswith("on")]
    assert len(page.scripts) == 3
    assert "Plotly" in page.scripts[1]


def test_names_from_models_stay_text(sample: dict[str, Any], hostile: str, tmp_path: Path) -> None:
    target = sample["targets"].pop("pynq-z2")
    target |= {"title": hostile, "notes": [hostile], "options": {hostile: hostile}}
    target["error"] = hostile
    target["artifacts"] = {hostile: hostile, "odd": "javascript:alert(1)"}
    target["verification"][0] |= {"runtime": hostile, "explanation": hostile}
    sample["targets"][hostile] = target
    sample |= {"name": hostile, "recipe": hostile}
    sample["stages"][0]["title"] = hostile
    sample["history"] = {hostile: {hostile: [1, 2]}}
    write(sample, tmp_path)
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert len(page.scripts) == 3
    assert "<script>alert" not in text
    assert page.text.count(hostile) > 10
    figures = json.loads(page.scripts[0])
    assert "<" not in json.dumps(figures).replace("<br>", "")


def test_charts_hold_the_record_s_figures(sample: dict[str, Any], tmp_path: Path) -> None:
    write(sample, tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    figures = json.loads(page.scripts[0])
    places = {
        attributes["id"] for tag, attributes in page.tags if attributes.get("class") == "chart"
    }
    assert places == set(figures)
    bars = {trace["name"]: trace["y"] for trace in figures["chart-accuracy"]["data"]}
    assert bars["compiled artifact"] == [0.967, 0.88, None]
    latency = figures["chart-latency"]["data"]
    assert [trace["x"] for trace in latency] == [[1.3e-6], [0.000_31], [0.000_28]]
    assert latency[0]["error_x"]["array"] == [1.3e-6]
    low, high = figures["chart-latency"]["layout"]["xaxis"]["range"]
    assert 10**low < 0.65e-6
    assert 10**high > 0.93e-3


@pytest.mark.parametrize("keep", [(), ("accuracy",), ("estimates",)])
def test_a_report_with_little_in_it(
    sample: dict[str, Any], keep: tuple[str, ...], tmp_path: Path
) -> None:
    bare = {"backend": "tflite", "accuracy": None, "verified": False, "artifacts": {}}
    full = sample["targets"]["pynq-z2"]
    entry = {**bare, "estimates": {}, **{key: full[key] for key in keep}}
    write(
        {
            "schema": "edgeflow.report/1",
            "edgeflow": "0.1.0",
            "created": "2026-11-20T15:00:00+00:00",
            "name": "bare",
            "model": {"name": "m"},
            "targets": {"t": entry} if keep else {},
        },
        tmp_path,
    )
    assert "Traceback" not in Page((tmp_path / "report.html").read_text()).text


def test_a_wrong_record_writes_nothing(sample: dict[str, Any], tmp_path: Path) -> None:
    del sample["targets"]["pynq-z2"]["verified"]
    with pytest.raises(InputError, match=r"targets\.pynq-z2\.verified: Field required"):
        write(sample, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_the_old_report(
    sample: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sample, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        write({**sample, "name": "other"}, tmp_path)
    assert "free some space" in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("function", [prepare, lambda folder: None])
def test_a_folder_that_cannot_be(function: Any, sample: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the report"):
        function(tmp_path / "file" / "out") or write(sample, tmp_path / "file" / "out")


def test_prepare_leaves_nothing_behind(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected a report (report.json), found none"),
        (b"", "expected JSON"),
        (b"\xff\xfe\x00random", "expected JSON"),
        (b'{"schema": "edgeflow.rep', "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"[]", "expected a report (a JSON object), found list"),
        (b"{}", "expected a report of schema 'edgeflow.report/1', found None"),
        (b'{"schema": "edgeflow.report/1", "targets": 3}', "targets: Input should be"),
    ],
)
def test_what_is_no_report(content: bytes | None, expected: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(expected)) as caught:
        load(tmp_path)
    assert "report.json" in str(caught.value)


def test_writing_is_quick_and_small(sample: dict[str, Any], tmp_path: Path) -> None:
    """Under 2 s of CPU (0.3 s on an idle machine) with the interpreter's start and all imports, and under 150 MB.

    The best of three, since a busy machine slows each by a factor.
    """
    (tmp_path / "sample.json").write_text(json.dumps(check(sample)))
    code = (
        "import json, resource, sys; from pathlib import Path; from edgeflow.report.write import write;"
        "write(json.loads(Path('sample.json').read_text()), Path('out'));"
        "use = resource.getrusage(resource.RUSAGE_SELF);"
        "peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0];"
        "print(use.ru_utime + use.ru_stime, peak);"
        "assert 'plotly' not in sys.modules"
    )
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        found.append([float(word) for word in done.stdout.split()])
    assert min(seconds for seconds, _ in found) < 2
    assert max(kilobytes for _, kilobytes in found) < 150_000


def test_the_page_has_the_compilers_tables_whole(sample: dict[str, Any], tmp_path: Path) -> None:
    (table,) = sample["targets"]["pynq-z2"]["tables"]
    table["rows"] = [["Conv2D", number, None, f"layer {number}"] for number in range(30)]
    write(sample, tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    assert "Operators on the NPU (30)" in page.text
    assert "layer 29" in page.text
    assert json.loads((tmp_path / "report.json").read_text())["targets"]["pynq-z2"]["tables"]
