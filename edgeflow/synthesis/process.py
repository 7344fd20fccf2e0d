"""Run an outside program with a limit on its time and on its memory. Standard library alone.

Memory is watched as the resident set of the program and its children: a limit on the address
space (``RLIMIT_AS``) does not work for WebAssembly, whose runtime reserves gigabytes that it
never touches.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeflow.errors import ToolError

POLL: Final = 0.1
"""Seconds between two looks at the memory."""
KEPT: Final = 40
"""Lines of output that are kept for a message."""
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


STARVED: Final = re.compile(r"bad_alloc|out of memory|cannot allocate memory", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """`seconds` of wall time and `memory` in bytes, and what the user calls these options."""

    seconds: float
    memory: float
    advice: str = ""


@dataclass(frozen=True)
class Ran:
    """How a program ended: its exit code, wall seconds, peak memory (bytes), last lines."""

    code: int
    seconds: float
    peak: int
    tail: tuple[str, ...]


class _Watch:
    """Ends a program that goes over a limit; `over` then says which."""

    def __init__(self, process: subprocess.Popen[str], limits: Limits) -> None:
        self.over: str | None = None
        self.peak = 0
        self._process = process
        self._limits = limits
        self._done = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(POLL):
            tree = descendants(self._process.pid)
            self.peak = max(self.peak, sum(resident(pid) for pid in tree))
            if self.peak > self._limits.memory:
                self.over = "memory"
            elif time.monotonic() - self._started > self._limits.seconds:
                self.over = "time"
            if self.over:
                for pid in tree:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                return

    def end(self) -> None:
        self._done.set()
        self._thread.join()


def run(
    command: Sequence[str],
    *,
    name: str,
    limits: Limits,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], str | None] = lambda _: None,
) -> Ran:
    """Run a program to its end.

    ``on_line`` is given each line of its output; what it returns is where the program is now,
    for the message should a limit end it.

    Raises:
        ToolError: it could not be started, a limit ended it, or it got no more memory (says which,
            how far it came and what to do).
    """
    library = ctypes.CDLL(None)
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            # it ends with the job, however that ends (one C call, safe beside other threads)
            preexec_fn=lambda: library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509
        )
    except OSError as error:
        raise ToolError(f"{name} cannot be started: {error.strerror}", where=command[0]) from None
    started = time.monotonic()
    watch = _Watch(process, limits)
    tail: deque[str] = deque(maxlen=KEPT)
    place = "its start"
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                tail.append(line.rstrip())
                place = on_line(line.rstrip()) or place
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            watch.end()
    seconds = time.monotonic() - started
    if process.returncode != 0 and (watch.over or _starved(process.returncode, tail)):
        limit = {
            "time": f"ran past its time limit of {limits.seconds:g} s",
            "memory": f"ran past its memory limit of {limits.memory / 2**20:,.0f} MiB",
        }.get(watch.over or "", "ran out of memory")
        raise ToolError(
            f"{name} {limit}",
            details=[
                f"it came as far as: {place}",
                f"after {seconds:.0f} s, with {watch.peak / 2**20:,.0f} MiB at its peak",
            ],
            remedy=limits.advice or None,
        )
    return Ran(process.returncode, seconds, watch.peak, tuple(tail))


def _starved(code: int, tail: Iterable[str]) -> bool:
    """Whether a program that failed says, or its end suggests, that it got no more memory."""
    return code == -signal.SIGKILL or any(STARVED.search(line) for line in tail)


def descendants(root: int) -> list[int]:
    """A process and all below it."""
    found = [root]
    for pid in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def resident(pid: int) -> int:
    """The resident set of a process in bytes; 0 where it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
