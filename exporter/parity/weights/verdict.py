"""What comparing weights found, in a form that can be printed and stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

_SHOWN = 3


@dataclass(frozen=True)
class WeightFault:
    """A tensor of the file that is a tensor of the model but for some elements, of which one is shown."""

    tensor: str
    of: tuple[str, ...]
    differing: int
    size: int
    got: float
    expected: float

    def __str__(self) -> str:
        where = f"in {self.differing:,} of {self.size:,} elements"
        return f"'{self.tensor}' is not the model's {_listed(self.of)} {where}: {self.got:.9g} is {self.expected:.9g}"


@dataclass(frozen=True)
class Weights:
    """How many of the model's tensors are in a file bit for bit, and what cannot be said of the others.

    `partly` and `absent` are tensors of the model that the file holds a part of, or nothing. `unknown` are tensors of
    the file that are not the model's, so that outputs alone speak for them. `why` says why nothing was compared.
    `computed` are tensors of the file that the model's forward computes of its own, but for rounding; `unseen` says why
    it is not known what it computes. `int8` are tensors of the model that the file holds rounded, as they must be.
    """

    compared: int = 0
    equal: int = 0
    partly: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    faults: tuple[WeightFault, ...] = ()
    why: str = ""
    computed: tuple[str, ...] = ()
    unseen: str = ""
    int8: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.faults

    def without(self, known: Sequence[str]) -> Weights:
        """The same, but these tensors of the file are of unknown origin, whatever they are like."""
        faults = tuple(fault for fault in self.faults if fault.tensor not in known)
        moved = tuple(fault.tensor for fault in self.faults if fault.tensor in known)
        return replace(self, faults=faults, unknown=(*self.unknown, *moved))

    def __str__(self) -> str:
        """One line."""
        if self.why:
            return f"Weights: not compared, for {self.why}."
        said = [f"{self.equal} of {self.compared} tensors equal the model's bit for bit"]
        said += [f"{len(self.int8)} are int8, each rounded as it must be"] if self.int8 else []
        said += [f"in part {_listed(self.partly)}"] if self.partly else []
        said += [f"not in the file as they are {_listed(self.absent)}"] if self.absent else []
        said += [f"of unknown origin in the file {_listed(self.unknown)}"] if self.unknown else []
        if self.unseen and (self.unknown or self.faults):
            said += [f"what forward computes was not seen: {self.unseen}"]
        return f"Weights: {'; '.join([*map(str, self.faults), *said])}."

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers that JSON lacks are null."""
        faults = [
            {**asdict(fault), "got": _finite(fault.got), "expected": _finite(fault.expected)} for fault in self.faults
        ]
        return {**asdict(self), "faults": faults, "passed": self.passed}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
