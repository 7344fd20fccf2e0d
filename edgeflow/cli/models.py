"""Reading the model that a command was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.network import Network


def read_network(paths: Sequence[Path]) -> Network:
    """The Network of a model's files, of a Network JSON file, or of an hls4ml project."""
    from edgeflow import subject
    from edgeflow.cli.progress import shown_runner

    return subject.read(paths, shown_runner).network
