"""The store: whole folders or nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from edgeflow.errors import StoreError
from edgeflow.store import MANIFEST, Store, cache_root, hash_json, hash_path

KEY = "ab" * 32


def fill(store: Store, text: str = "x") -> None:
    with store.lock(KEY), store.writing(KEY) as folder:
        (folder / MANIFEST).write_text(f'{{"text": "{text}"}}')


def test_finished_folder_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get(KEY) is None
    fill(store)
    assert store.get(KEY) == store.path(KEY)
    assert store.manifest(KEY) == {"text": "x"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.writing(KEY) as folder:
        (folder / "half").write_text("half")
        raise ZeroDivisionError
    assert store.get(KEY) is None
    assert list((tmp_path / "tmp").iterdir()) == []


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    leftover = tmp_path / "tmp" / f"{KEY}.dead"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("half")
    fill(store)
    assert not leftover.exists()


def test_lock_makes_others_wait(tmp_path: Path) -> None:
    store = Store(tmp_path)
    order: list[str] = []

    def other() -> None:
        with store.lock(KEY, waiting=lambda: order.append("waits")):
            order.append("second")

    with store.lock(KEY):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["waits", "first", "second"]


def test_store_on_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught, Store(tmp_path / "file").writing(KEY):
        pass
    assert "EDGEFLOW_CACHE" in str(caught.value)


def test_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a").write_text("a")
    assert hash_path(one) == hash_path(two)
    (two / "deep" / "b").write_text("")
    assert hash_path(one) != hash_path(two)
    (two / "deep" / "b").unlink()
    (two / "deep" / "a").write_text("bb")
    assert hash_path(one) != hash_path(two)


def test_hash_of_json_ignores_the_order_of_keys() -> None:
    assert hash_json({"a": 1, "b": [2]}) == hash_json({"b": [2], "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 1.5})


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEFLOW_CACHE", str(tmp_path / "c"))
    monkeypatch.delenv("EDGEFLOW_STORE", raising=False)
    assert cache_root() == tmp_path / "c"
    assert Store.default().root == tmp_path / "c" / "store"
    monkeypatch.setenv("EDGEFLOW_STORE", str(tmp_path / "s"))
    assert Store.default().root == tmp_path / "s"
    monkeypatch.delenv("EDGEFLOW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_root() == tmp_path / "x" / "edgeflow"
