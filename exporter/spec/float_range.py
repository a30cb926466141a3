"""The values that a float input takes: `in 0..1`, `> 0`, `>= 0, < 1` or `in {0, 1}`."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ..errors import SignatureError

_NUMBER = r"[-+]?(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf|infinity)"
_BETWEEN = re.compile(rf"in\s+({_NUMBER})\s*\.\.\s*({_NUMBER})", re.IGNORECASE)
_ONE_OF = re.compile(rf"in\s*\{{\s*((?:{_NUMBER})(?:\s*,\s*(?:{_NUMBER}))*)\s*\}}", re.IGNORECASE)
_BOUND = re.compile(rf"(<=|>=|<|>)\s*({_NUMBER})", re.IGNORECASE)


class FloatRange(Struct, frozen=True, forbid_unknown_fields=True):
    """From `low` to `high`, None where there is no end, or the numbers `one_of` and no others.

    `above` and `below` say that the end itself is left out: `> 0` is `FloatRange(low=0, above=True)`.
    """

    low: Annotated[float | None, Meta(description="The smallest value; null where there is none.")] = None
    high: Annotated[float | None, Meta(description="The largest value; null where there is none.")] = None
    above: Annotated[bool, Meta(description="Whether values are greater than `low`, and not `low` itself.")] = False
    below: Annotated[bool, Meta(description="Whether values are less than `high`, and not `high` itself.")] = False
    one_of: Annotated[tuple[float, ...], Meta(description="The only values, where it is these; else empty.")] = ()

    def check(self, dtype: str) -> None:
        """Refuse a range that no value of a float dtype lies in.

        Raises:
            SignatureError: it is empty, or an end is no number of the dtype.
        """
        ends = [end for end in (self.low, self.high) if end is not None]
        for number in (*ends, *self.one_of):
            if not math.isfinite(number):
                raise SignatureError(f"A value range cannot end at {number}. Leave that end out, as '> 0' does.")
            if abs(number) > float(np.finfo(dtype).max):
                raise SignatureError(f"The value range '{self}' does not fit {dtype}. Narrow it.")
        if not ends and not self.one_of:
            raise SignatureError("A value range needs an end. Give one, such as '> 0', or leave the range out.")
        low, high = self.ends(dtype)
        if low > high:
            hint = "Leave a value between its ends." if self.above or self.below else "Write the smaller number first."
            raise SignatureError(f"The value range '{self}' is empty in {dtype}. {hint}")

    def ends(self, dtype: str) -> tuple[float, float]:
        """The smallest and the largest number of a dtype that lies in it."""
        kind = np.dtype(dtype).type
        if self.one_of:
            return float(kind(min(self.one_of))), float(kind(max(self.one_of)))
        low, high = (kind(end) for end in (self.low or 0.0, self.high or 0.0))
        low = np.nextafter(low, kind(np.inf)) if self.above else low
        high = np.nextafter(high, kind(-np.inf)) if self.below else high
        most = float(np.finfo(dtype).max)
        return -most if self.low is None else float(low), most if self.high is None else float(high)

    def holds(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Which elements of a float array lie in it, once its ends are rounded to the array's dtype."""
        if self.one_of:
            return np.isin(array, np.asarray(self.one_of, array.dtype))
        low, high = self.ends(array.dtype.name)
        return np.asarray((array >= low) & (array <= high))

    @property
    def typical(self) -> float:
        """A value in it: 0 where that is one."""
        if self.one_of:
            return min(self.one_of, key=abs)
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if (low < 0 or (low == 0 and not self.above)) and (high > 0 or (high == 0 and not self.below)):
            return 0.0
        if math.isfinite(low) and math.isfinite(high):
            return (low + high) / 2
        return low + 1 if math.isfinite(low) else high - 1

    def __str__(self) -> str:
        if self.one_of:
            return f"in {{{', '.join(map(_spell, self.one_of))}}}"
        if self.low is not None and self.high is not None and not self.above and not self.below:
            return f"in {_spell(self.low)}..{_spell(self.high)}"
        bounds = ((self.low, ">", self.above), (self.high, "<", self.below))
        return ", ".join(
            f"{sign}{'' if left_out else '='} {_spell(end)}" for end, sign, left_out in bounds if end is not None
        )


def parse_float_range(text: str) -> FloatRange | None:
    """Read `in 0..1`, `in {0, 1}`, `> 0` or `>= 0, < 1`; None where it is no such text."""
    between, one_of = _BETWEEN.fullmatch(text), _ONE_OF.fullmatch(text)
    if between is not None:
        return FloatRange(float(between[1]), float(between[2]))
    if one_of is not None:
        return FloatRange(one_of=tuple(map(float, one_of[1].split(","))))
    bounds = [_BOUND.fullmatch(part.strip()) for part in text.split(",")]
    signs = [bound[1][0] for bound in bounds if bound is not None]
    if None in bounds or len(set(signs)) < len(bounds):
        return None
    found = {bound[1]: float(bound[2]) for bound in bounds if bound is not None}
    low, high = (found.get(sign, found.get(f"{sign}=")) for sign in "><")
    return FloatRange(low, high, ">" in found, "<" in found)


def _spell(number: float) -> str:
    return repr(float(number)).removesuffix(".0")
