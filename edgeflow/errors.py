"""The errors a user may meet.

Each one says what was expected, what was found, where, and what to do about it. The command line
prints it as one message and exits with code 2; a library user catches `EdgeflowError`.
This module uses the standard library alone, because jobs import it inside their toolchains.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any


def is_full(error: OSError) -> bool:
    """Whether the system says that a disk or quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class EdgeflowError(Exception):
    """Base of every error that edgeflow raises on purpose.

    Args:
        message: what is wrong: what was expected and what was found.
        where: the place, such as ``recipe.yaml:12`` or a model file's path.
        remedy: what the user can do about it.
        details: further findings, one line each (all unsupported layers at once, for example).
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        details: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy
        self.details = tuple(details)

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        lines = [head, *(f"  - {detail}" for detail in self.details)]
        if self.remedy:
            lines.append(f"  to do: {self.remedy}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The error as plain data, to cross a process boundary."""
        return {
            "kind": type(self).__name__,
            "message": self.message,
            "where": self.where,
            "remedy": self.remedy,
            "details": list(self.details),
        }


class InputError(EdgeflowError):
    """A file, value or option that the user gave cannot be used."""


class RecipeError(InputError):
    """The recipe (or another YAML file) does not follow its schema."""


class ModelError(InputError):
    """A model file cannot be read, or holds something that is refused (code, NaN weights)."""


class DataError(InputError):
    """A dataset cannot be read or does not fit the model."""


class TargetError(InputError):
    """A target is unknown or its file is wrong."""


class UnsupportedError(EdgeflowError):
    """A backend cannot take this model on this target; `details` lists every reason."""


class ToolchainError(EdgeflowError):
    """An environment could not be made (no network, no disk, no interpreter)."""


class ToolError(EdgeflowError):
    """An outside tool (g++, a vendor's compiler) is missing or failed."""


class StoreError(EdgeflowError):
    """The store or an output folder cannot be written."""

    @classmethod
    def of(cls, error: OSError, what: str, where: object, remedy: str) -> StoreError:
        """What the system said, with what to do: free space if the disk is full, else `remedy`."""
        return cls(
            f"cannot write {what}: {error.strerror or error}",
            where=str(error.filename or where),
            remedy="free some space on that disk" if is_full(error) else remedy,
        )


class JobError(EdgeflowError):
    """A job crashed, ran out of time or failed in a way it did not foresee; names the log."""


class DeployError(EdgeflowError):
    """A board cannot be reached, refused the work or gave wrong answers."""


class Interrupted(EdgeflowError):
    """The user stopped the work (Ctrl-C); what was finished is kept."""


def from_json(record: Mapping[str, Any]) -> EdgeflowError:
    """Rebuild the error that `EdgeflowError.to_json` described; an unknown kind is a `JobError`."""
    found = globals().get(str(record.get("kind")))
    kind = found if isinstance(found, type) and issubclass(found, EdgeflowError) else JobError
    return kind(
        str(record["message"]),
        where=record.get("where"),
        remedy=record.get("remedy"),
        details=record.get("details") or (),
    )
