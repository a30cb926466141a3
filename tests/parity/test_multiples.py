"""How large an error is beside its limit, in words."""

from __future__ import annotations

import pytest
from rnn_export.parity.multiples import share_in_words, times_in_words


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.5, "1.5 times"),
        (9.876, "9.88 times"),
        (12.34, "12 times"),
        (94_812.0, "94,812 times"),
        (1e30, "over a billion times"),
        (float("inf"), "over a billion times"),
    ],
)
def test_how_many_times(ratio: float, text: str) -> None:
    assert times_in_words(ratio) == text


def test_a_share_is_a_percentage_until_it_is_far_beyond() -> None:
    assert [share_in_words(share) for share in (0.154, 9.5, 790.4)] == ["15%", "950%", "790 times"]
