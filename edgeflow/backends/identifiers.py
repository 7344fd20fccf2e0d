"""Names for what is written in C and C++."""

from __future__ import annotations

import re


def c_identifier(name: str) -> str:
    """A name as a C identifier: in lower case, and never empty or begun with a digit."""
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "model"
    return found if found[0].isalpha() else f"net_{found}"
