"""Numbers as people write them: 1.1 s, 790 times as fast, powers of ten in superscript."""

from __future__ import annotations

import math

from ..parity.multiples import share_in_words

_TIMES = "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def duration(seconds: float) -> str:
    """In the unit that makes it a number below a thousand."""
    for units, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * units < 999.5:
            return f"{_short(seconds * units)} {unit}"
    return f"{_short(seconds)} s"


def compared(file: float, eager: float) -> str:
    """How a file's time compares with PyTorch's."""
    ratio = eager / file
    if 0.95 < ratio < 1.05:
        return "as fast"
    return f"{_short(ratio)} times as fast" if ratio > 1 else f"takes {_short(1 / ratio)} times as long"


def power_of_ten(number: float) -> str:
    """Two digits, and a power of ten where the number is very small or large."""
    if not math.isfinite(number):
        return "not finite"
    if number == 0:
        return "0"
    if 1e-3 <= abs(number) < 99.5:
        return f"{number:.2g}"
    digits, _, exponent = f"{number:.1e}".partition("e")
    return f"{digits} {_TIMES} 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def share(part: float) -> str:
    """An error in terms of its limit."""
    return share_in_words(part) if math.isfinite(part) else "beyond any number"


def _short(number: float) -> str:
    """Two digits, or all digits of the whole number."""
    return f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"
