"""The command line: one command per file, thin: parse, call the library, render."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The program `edgeflow`: exit code 0, 1 (a check failed), 2 (bad input) or 130 (Ctrl-C)."""
    try:
        from edgeflow.errors import EdgeflowError, Interrupted
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        from edgeflow.cli.app import app

        app()
    except EdgeflowError as error:
        print(f"edgeflow: {error}", file=sys.stderr)
        sys.exit(130 if isinstance(error, Interrupted) else 2)
    except KeyboardInterrupt:
        print("edgeflow: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
