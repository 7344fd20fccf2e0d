"""The content-addressed store: finished job outputs by key.

A finished folder never changes. A job writes into a temporary folder, which is flushed to disk
and renamed into place; whatever was killed in between is a leftover that the next job of the same
key removes. One lock file per key lets two runs share the work: one does it, the other waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeflow.errors import StoreError

MANIFEST = "job.json"
ELSEWHERE = "make the folder writable, or set EDGEFLOW_CACHE to one that is"


def cache_root() -> Path:
    """The folder for everything that edgeflow can make again: ``$EDGEFLOW_CACHE`` or the user's
    cache folder (``$XDG_CACHE_HOME/edgeflow``, ``~/.cache/edgeflow``)."""
    if chosen := os.environ.get("EDGEFLOW_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "edgeflow"


@dataclass(frozen=True)
class Store:
    """The finished folders below `root`."""

    root: Path

    @classmethod
    def default(cls) -> Store:
        """The user's store: ``$EDGEFLOW_STORE``, or ``store`` in the cache."""
        chosen = os.environ.get("EDGEFLOW_STORE")
        return cls(Path(chosen).expanduser().absolute() if chosen else cache_root() / "store")

    def path(self, key: str) -> Path:
        """Where the folder of `key` is, or will be."""
        return self.root / "done" / key[:2] / key

    def get(self, key: str) -> Path | None:
        """The finished folder of `key`; None where it has not been made."""
        path = self.path(key)
        return path if (path / MANIFEST).is_file() else None

    def manifest(self, key: str) -> dict[str, Any]:
        """What was written about the job of `key` (entry, parameters, seconds)."""
        record: dict[str, Any] = json.loads((self.path(key) / MANIFEST).read_text())
        return record

    @contextlib.contextmanager
    def lock(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock of `key`; `waiting` is called once if another process has it.

        The kernel releases the lock when its holder dies, however it dies.
        """
        with self._writing():
            folder = self.root / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            handle = (folder / key).open("w")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """An empty folder to fill for `key`; on success it becomes the finished folder.

        Call it under `lock`. On an exception the folder is removed, and nothing is left of it.
        """
        temporary = self.root / "tmp"
        with self._writing():
            temporary.mkdir(parents=True, exist_ok=True)
            for leftover in temporary.glob(f"{key}.*"):
                shutil.rmtree(leftover, ignore_errors=True)
            folder = temporary / f"{key}.{uuid.uuid4().hex[:8]}"
            folder.mkdir()
        try:
            yield folder
            with self._writing():
                _flush(folder)
                final = self.path(key)
                final.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(final, ignore_errors=True)
                folder.rename(final)
                _flush_folder(final.parent)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def keep_log(self, key: str, log: Path) -> Path:
        """Keep the log of a job that failed, outside of what is removed with it."""
        with self._writing():
            folder = self.root / "failed"
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{key[:12]}.log"
            shutil.copyfile(log, kept)
        return kept

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError.of(error, "the store", self.root, ELSEWHERE) from None


def _flush(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                with path.open("rb") as handle:
                    os.fsync(handle.fileno())
        _flush_folder(Path(root))


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_path(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's relative names and bytes, in hexadecimal.

    Raises:
        OSError: the path cannot be read.
    """
    if path.is_dir():
        digest = hashlib.sha256()
        for item in sorted(path.rglob("*")):
            if item.is_file():
                digest.update(f"{item.relative_to(path)}\0{hash_path(item)}\n".encode())
        return digest.hexdigest()
    stat = path.stat()
    return _hash_file(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _hash_file(path: str, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - part of the cache key
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON value, the order of its keys left out, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
