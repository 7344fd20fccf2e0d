"""Names for C."""

from __future__ import annotations

import pytest

from edgeflow.backends.identifiers import c_identifier


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("Jet-Tagger v2", "jet_tagger_v2"), ("3layer", "net_3layer"), ("ünï", "n"), ("", "model")],
)
def test_any_name_is_an_identifier(given: str, wanted: str) -> None:
    assert c_identifier(given) == wanted
    assert c_identifier(wanted) == wanted
    assert wanted.isascii()
    assert wanted.isidentifier()
