"""Words that errors share."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from rnn_export.errors import type_in_words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "an int"),
        ("x", "a str"),
        (OrderedDict(), "an OrderedDict"),
        (np.ones(2), "an ndarray"),
        (None, "a NoneType"),
    ],
)
def test_a_type_has_its_article(value: object, said: str) -> None:
    assert type_in_words(value) == said
