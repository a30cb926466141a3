"""What becomes of a value when its graph is fed in chunks.

A sequence of a whole run has `rate * T + extra` elements, of which a stream has had `rate * t + shift` after t steps:
with `shift` above 0, those before the first step are its prefix, which follows from the weights alone; with `shift`
below 0, the first elements of a stream come before the sequence begins, and stand for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Still:
    """The same for every chunk."""


@dataclass(frozen=True)
class Sized:
    """Numbers that follow from the number of steps of a whole run."""


@dataclass(frozen=True)
class Sequence:
    """A sequence along `axis`, whose length in the r-th run is `before[r] * (rate * T + extra) * after[r]`.

    A `steady` one has the same elements at every step. The first `edge` elements are the next one again.
    """

    axis: int
    rate: Fraction
    extra: int
    shift: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    steady: bool = False
    edge: int = 0

    @property
    def is_merged(self) -> bool:
        """Whether the axis counts other things than steps too, as in `N*T`."""
        return {*self.before, *self.after} != {1}

    def length(self, run: int, steps: int) -> Fraction:
        return self.before[run] * (self.rate * steps + self.extra) * self.after[run]

    def is_along(self, other: Sequence) -> bool:
        """Whether both have the same steps, but for the axis."""
        return (self.rate, self.extra, self.before, self.after) == (other.rate, other.extra, other.before, other.after)


@dataclass(frozen=True)
class Paired:
    """Every element of one sequence with every one of another, along the two axes; each is where its operands are."""

    first: Sequence
    second: Sequence


@dataclass(frozen=True)
class Result:
    """Something about the sequence up to here, such as its last state."""


@dataclass(frozen=True)
class Own:
    """What the model itself puts together of a chunk and of a state that it takes: it is right as it stands."""


@dataclass(frozen=True)
class Mixed:
    """What a stream cannot have, and why; a refusal only if something is made of it."""

    why: str


Flow = Still | Sized | Sequence | Paired | Result | Own | Mixed
