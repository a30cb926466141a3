"""Show text of unknown origin as it is: no markup, no escape sequence, no end of a line has an effect."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

# A cell is cut beyond this, and a name in a list much earlier.
_LONGEST_CELL = 4_000
_LONGEST_NAME = 120


def plain(text: str) -> str:
    """The text with what a terminal would not print as a character spelled out, such as `\\x1b` or `\\u202e`."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def short(name: str, longest: int = _LONGEST_NAME) -> str:
    """The same of a name, its middle left out where it is very long."""
    left_out = len(name) - longest
    if left_out <= 0:
        return plain(name)
    return f"{plain(name[: longest // 2])}… ({left_out:,} more characters) …{plain(name[-(longest // 2) :])}"


class Rows(Table):
    """A table whose cells are plain text, or what rich has drawn."""

    def add_row(self, *cells: Any, **how: Any) -> None:
        super().add_row(*(Text(short(cell, _LONGEST_CELL)) if isinstance(cell, str) else cell for cell in cells), **how)
