"""Jobs: what they give, and that nothing they do harms the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeflow import jobs
from edgeflow.errors import Interrupted, JobError, ModelError, StoreError
from edgeflow.jobs import Event, Job, Runner, code_version, job_key
from edgeflow.store import Store

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _examples_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def local(tmp_path: Path, events: list[Event]) -> Iterator[Runner]:
    with Runner(Store(tmp_path / "store"), events.append) as made:
        yield made


def example(
    function: str, timeout: float = 60, inputs: dict[str, Path] | None = None, **params: Any
) -> Job:
    return Job(
        f"job_examples:{function}",
        "tflite_runtime",
        function,
        inputs or {},
        params,
        timeout=timeout,
    )


def unfinished(store: Store) -> list[Path]:
    return list((store.root / "tmp").glob("*"))


def test_job_leaves_output_result_and_log(local: Runner, events: list[Event]) -> None:
    done = local.run(example("write", text="hello", steps=3))
    assert (done.path / "text.txt").read_text() == "hello"
    assert done.result == {"length": 5}
    assert not done.cached
    assert "goes into the log" in (done.path.parent / "log.txt").read_text()
    assert [e.done for e in events if e.state == "running" and e.total] == [0, 1, 2]
    assert not unfinished(local.store)
    assert not (done.path.parent / "scratch").exists()


def test_second_time_comes_from_the_store(local: Runner, tmp_path: Path) -> None:
    job = example("write", text="x", trace=str(tmp_path / "trace"))
    first, second = local.run(job), local.run(job)
    assert second.cached
    assert second.path == first.path
    assert (tmp_path / "trace").read_text() == "ran\n"


def test_key_depends_on_parameters_and_input_contents(local: Runner, tmp_path: Path) -> None:
    file = tmp_path / "in.txt"
    file.write_text("a")
    keys = {job_key(example("write", text=text), local.store) for text in "ab"}
    keys.add(job_key(example("write", text="a", inputs={"in": file}), local.store))
    file.write_text("bb")
    keys.add(job_key(example("write", text="a", inputs={"in": file}), local.store))
    assert len(keys) == 4
    titled = Job("job_examples:write", "tflite_runtime", "other title", params={"text": "a"})
    assert job_key(titled, local.store) in keys


def test_output_of_one_job_is_input_of_the_next(local: Runner) -> None:
    first = local.run(example("write", text="one"))
    job = example("write", text="two", inputs={"in": first.path / "text.txt"})
    assert (local.run(job).path / "text.txt").read_text() == "onetwo"
    assert local.run(job).cached


def test_code_version_follows_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "somepackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "job.py").write_text("from somepackage import helper\n")
    (package / "helper.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_version("somepackage.job")
    code_version.cache_clear()
    assert code_version("somepackage.job") == before
    (package / "helper.py").write_text("x = 2\n")
    code_version.cache_clear()
    assert code_version("somepackage.job") != before


def test_code_version_follows_the_files_beside_a_module() -> None:
    """A C kernel that a job compiles is part of its code, as a module that it imports is."""
    folder = Path(jobs.__file__).parent / "backends" / "cortex_m"
    found = {path.relative_to(folder).as_posix() for path in jobs._beside(folder)}
    assert {"kernels/ef_conv.c", "kernels/ef_nn.h", "firmware/main.c"} <= found
    assert not any(name.endswith((".py", ".pyc")) for name in found)
    assert jobs._beside(Path(jobs.__file__).parent) == ()  # targets and docs are no code


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_crash_is_one_error_that_names_the_log(local: Runner, number: signal.Signals) -> None:
    with pytest.raises(JobError, match=number.name) as caught:
        local.run(example("crash", signal=int(number)))
    log = Path(str(caught.value.remedy).rpartition(": ")[2])
    assert "about to crash" in log.read_text()
    assert not unfinished(local.store)
    assert local.run(example("write", text="still works")).result == {"length": 11}


def test_hang_ends_at_the_time_limit_with_its_children(local: Runner, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(JobError, match="time limit of 1 s"):
        local.run(example("hang", timeout=1, pids=str(pids)))
    wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    assert not unfinished(local.store)


def test_error_of_ours_crosses_the_process(local: Runner) -> None:
    with pytest.raises(ModelError) as caught:
        local.run(example("fail", kind="edgeflow"))
    assert str(caught.value) == "here: bad\n  - one\n  - two\n  to do: mend it"


@pytest.mark.parametrize("kind", ["other", "exit"])
def test_unforeseen_failure_names_kind_and_log(local: Runner, kind: str) -> None:
    with pytest.raises(JobError) as caught:
        local.run(example("fail", kind=kind))
    assert {"other": "KeyError", "exit": "SystemExit"}[kind] in str(caught.value)
    log = Path(str(caught.value.remedy).rpartition(": ")[2])
    assert "Traceback" in log.read_text()


def test_full_disk_is_a_store_error(local: Runner) -> None:
    with pytest.raises(StoreError, match="full"):
        local.run(example("fill"))
    assert not unfinished(local.store)


def test_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Runner(Store(tmp_path / "file" / "store")) as made, pytest.raises(StoreError) as caught:
        made.run(example("write", text="x"))
    assert "EDGEFLOW_CACHE" in str(caught.value)


def test_missing_input(local: Runner, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        local.run(example("write", text="x", inputs={"in": tmp_path / "absent"}))


def test_job_sees_its_toolchain_alone(local: Runner) -> None:
    seen = local.run(example("surroundings")).result
    assert seen["hidden"] == []
    assert seen["python"] == [3, 11]
    assert Path(seen["cwd"]).name == "scratch"


def test_two_at_once_share_the_work(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    trace = tmp_path / "trace"
    job = example("write", text="x", steps=4, pause=0.2, trace=str(trace))
    outcomes = []

    def work() -> None:
        with Runner(store) as made:
            outcomes.append(made.run(job))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trace.read_text() == "ran\n"
    assert sorted(o.cached for o in outcomes) == [False, True, True]
    assert len({o.path for o in outcomes}) == 1


def test_cancel_ends_running_jobs(local: Runner, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    threading.Timer(1.5, local.cancel).start()
    with pytest.raises(Interrupted) as caught:
        local.run(example("hang", pids=str(pids)))
    (log,) = local.interrupted
    assert str(log) in str(caught.value)
    assert log.is_file()
    wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    assert not unfinished(local.store)


PROGRAM = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from edgeflow.jobs import Job, Runner
from edgeflow.store import Store
with Runner(Store(Path({store!r}))) as runner:
    one = runner.run(Job("job_examples:write", "tflite_runtime", "one", {{}}, {{"text": "1", "steps": 5, "pause": 0.1}}))
    print("one", flush=True)
    two = runner.run(Job("job_examples:write", "tflite_runtime", "two", {{"in": one.path / "text.txt"}},
                         {{"text": "2", "steps": 5, "pause": 0.1, "trace": {trace!r}}}))
    print((two.path / "text.txt").read_text(), flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.25, 0.7, 1.1])
def test_kill_at_any_moment_then_resume(tmp_path: Path, delay: float) -> None:
    store, trace = tmp_path / "store", tmp_path / "trace"
    program = PROGRAM.format(here=str(HERE), store=str(store), trace=str(trace))
    first = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    time.sleep(0.15 + delay)
    first.kill()
    out, _ = first.communicate()
    again = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "12"
    assert "one" in again.stdout
    assert not list((store / "tmp").glob("*"))
    assert len(list((store / "done").glob("*/*"))) == 2
    assert out in ("", "one\n", "one\n12\n")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def wait_until(condition: Any, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_server_ends_with_its_parent(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\nfrom edgeflow.jobs import Job, Runner\nfrom edgeflow.store import Store\n"
        f"Runner(Store(Path({str(tmp_path / 'store')!r}))).run(Job('job_examples:hang', 'tflite_runtime', "
        f"'hang', {{}}, {{'pids': {str(pids)!r}}}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 20)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
