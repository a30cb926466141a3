"""Dimensions of outputs: text and back."""

from __future__ import annotations

import pytest
from rnn_export.spec.dims import parse, spell


@pytest.mark.parametrize("text", ["float32[T, N, 3]", "int64[]", "float16[N*T, ?]", "bool[max(lengths), N]"])
def test_text_and_back(text: str) -> None:
    assert spell(*parse(text)) == text


def test_kinds_of_dimensions() -> None:
    assert parse("float32[T*N, 3, ?]") == ("float32", ("T*N", 3, None))
