"""The package's public names."""

from __future__ import annotations

from importlib.util import find_spec

import rnn_export


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing such a module would put it in the place of what has its name."""
    assert [name for name in rnn_export.__all__ if find_spec(f"rnn_export.{name}") is not None] == []


def test_every_public_name_is_there() -> None:
    assert [name for name in rnn_export.__all__ if not hasattr(rnn_export, name)] == []
