"""How large an error is beside its limit, in words: a percentage, or how many times."""

from __future__ import annotations


def share_in_words(share: float) -> str:
    """An error in terms of its limit: a percentage, and how many times where it is far beyond."""
    return f"{share:.0%}" if share < 10 else times_in_words(share)


def times_in_words(ratio: float) -> str:
    """How many times, as people say it."""
    if ratio >= 1e9:
        return "over a billion times"
    return f"{ratio:.3g} times" if ratio < 10 else f"{ratio:,.0f} times"
