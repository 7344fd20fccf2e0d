"""The core's side of a toolchain's server process (`edgeflow/jobserver.py`)."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

SERVER = Path(__file__).with_name("jobserver.py")


class Server:
    """The process of one toolchain that forks for each job, and the thread that hears from it."""

    def __init__(self, python: Path, environment: Mapping[str, str]) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        self._process = subprocess.Popen(
            [str(python), "-P", "-s", str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**kept, "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", **environment},
            start_new_session=True,
            text=True,
        )
        self._events: dict[str, queue.Queue[dict[str, Any]]] = {}
        self._guard = threading.Lock()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def run(
        self, folder: Path, timeout: float, progress: Callable[[float, float, str], None]
    ) -> str | None:
        """Run the request in `folder`, for `timeout` seconds at most.

        Returns:
            what went wrong with the process; None where it ended with exit code 0.
        """
        inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        name = str(folder)
        with self._guard:
            self._events[name] = inbox
        deadline = time.monotonic() + timeout
        pid: int | None = None
        try:
            self._send(name)
            while True:
                if not self.alive and inbox.empty():
                    return f"its toolchain's process ended ({_exit_text(self._process.wait())})"
                try:
                    message = inbox.get(timeout=min(0.5, max(0.01, deadline - time.monotonic())))
                except queue.Empty:
                    if time.monotonic() < deadline:
                        continue
                    return f"it ran past its time limit of {timeout:g} s"
                if "pid" in message:
                    pid = message["pid"]
                elif "progress" in message:
                    done, total, text = message["progress"]
                    progress(done, total, text)
                elif "exit" in message:
                    status = message["exit"]
                    return None if status == 0 else _exit_text(status)
        finally:
            with self._guard:
                self._events.pop(name, None)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            elif time.monotonic() >= deadline:
                self.close()  # it hangs while importing

    def warm(self, imports: Sequence[str]) -> None:
        """Import modules before a job needs them."""
        self._send(json.dumps(list(imports)))

    def _send(self, line: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with self._guard, contextlib.suppress(OSError, ValueError):
            stdin.write(line + "\n")
            stdin.flush()

    def _listen(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        for line in stdout:
            try:
                message = json.loads(line)
                name = message["job"]
            except (ValueError, KeyError, TypeError):
                continue
            with self._guard:
                inbox = self._events.get(name)
            if inbox is not None:
                inbox.put(message)

    def tail(self) -> str:
        """The end of what the server itself printed."""
        if self._log.closed:
            return ""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 4000))
        return self._log.read().decode(errors="replace")

    def hang_up(self) -> None:
        """Tell the server to end; `close` waits for it."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def close(self) -> None:
        """End the server, and with it every job that it runs."""
        self.hang_up()
        try:
            self._process.wait(timeout=1)  # it does not hear while it imports
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(timeout=2)  # it ends when the last holder of the pipe does
        if not self._listener.is_alive() and self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


def _exit_text(status: int) -> str:
    if status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exit code {status}"
