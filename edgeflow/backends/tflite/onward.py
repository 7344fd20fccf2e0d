"""Backends whose compiler reads the int8 .tflite file that the backend `tflite` makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeflow.backends.base import Configured, Request, Simulation
from edgeflow.backends.tflite.backend import BACKEND as TFLITE
from edgeflow.jobs import Job
from edgeflow.network import Network
from edgeflow.targets import Target


class OnTFLite(Configured):
    """The file, whether it needs data, and how it runs before the compiler; see `Backend`."""

    def file_options(self, network: Network, options: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The file's options, from those of the backend."""
        return dict(options)

    def needs_data(self, network: Network, target: Target, options: Mapping[str, Any]) -> bool:
        """Whether the compilation measures ranges on data."""
        return TFLITE.needs_data(network, target, self.file_options(network, options))

    def base(self, request: Request) -> Job:
        """The job that makes the .tflite file."""
        return TFLITE.compile(self.for_file(request))

    def simulate(self, request: Request, compiled: Path) -> list[Simulation]:
        """The .tflite file: what the compiler makes of it runs on its own hardware alone."""
        del compiled
        assert request.base is not None
        return TFLITE.simulate(self.for_file(request), request.base)

    def for_file(self, request: Request) -> Request:
        """The request as the tflite backend takes it."""
        options = self.file_options(request.model.network, request.options)
        return replace(request, options=options)
