"""Reading the model that a command was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.network import Network


def read_network(paths: Sequence[Path]) -> Network:
    """The Network of a model's files, or of a Network JSON file."""
    from edgeflow.frontends import loader

    if len(paths) == 1 and loader.is_network(paths[0]):
        return loader.load_network(paths[0])
    from edgeflow.cli.progress import shown_runner

    with shown_runner() as runner:
        return loader.load(paths, runner).network
