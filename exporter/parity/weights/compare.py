"""Are the weights in a file those of the model? Compared bit for bit, without trust in names or in the exporter.

An exporter moves weights: it turns matrices, puts gates in another order, stacks directions, joins biases or adds them
up, and cuts what two products share. So each tensor of the file is cut into as many equal blocks of rows as there may
be gates and directions, and each block must be a box of one of the model's tensors, or of the sum of two of one layer,
every bit the same. What is found nowhere, but nearly equals a tensor of the model, is a fault. Whether the blocks stand
in the right places is for the outputs to show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .candidates import Candidate, Marks, candidates_of, mark_parts, rounded_ends, rounded_whole, sums
from .matching import EQUAL, LOWER, NEAR, Match, count_differing, cuts

Array = NDArray[Any]

# What two libraries may make of one function of float32, relative to the largest result.
_ROUNDING = 1e-5

# The whole channels first, for there are fewer.
_ROUNDED = (rounded_whole, rounded_ends)

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
class WeightComparison:
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

    def without(self, known: Sequence[str]) -> WeightComparison:
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


def compare_weights(
    stored: Mapping[str, Array],
    model: Mapping[str, Array],
    computed: Mapping[str, Array] = MappingProxyType({}),
    int8: Mapping[str, Array] = MappingProxyType({}),
) -> WeightComparison:
    """Compare the floating-point tensors of a file with those of the model that it was made from, each by name.

    `computed` are tensors that the model's forward computes of its own alone. A tensor of the file that is one of these
    but for rounding, for it may have been computed by another library, is none of unknown origin. `int8` are what the
    int8 tensors of the file stand for, float32 [channels, K]: they must be what rounding makes of the model's.
    """
    candidates = candidates_of(model)
    left = _without_equal(stored, candidates)
    left8, near8, as_int8 = _compare_int8(int8, candidates)
    summed = sums(candidates)
    left = _without_equal(left, [*candidates, *summed])
    mark_parts(candidates, summed)
    results = candidates_of(_without_equal(computed, candidates_of(model)))
    remade = [name for name, array in left.items() if _is_rounded(array, results)]
    left = {name: array for name, array in left.items() if name not in remade}
    near = {name: matches for name, array in left.items() if (matches := _nearly(array, [*candidates, *summed]))}
    near |= {name: matches for name, matches in near8.items() if not _rounding_of(left8[name], results)}
    named = {part for matches in near.values() for match in matches for part in match.candidate.parts}
    unseen = [each for each in candidates if not each.found.any() and each.name not in named]
    faults = [_fault(name, matches) for name, matches in near.items() if not _is_computed(matches, unseen)]
    faulty = {fault.tensor for fault in faults}
    return WeightComparison(
        compared=len(candidates),
        equal=sum(bool(each.found.all()) for each in candidates) - len(as_int8),
        partly=tuple(each.name for each in candidates if each.found.any() and not each.found.all()),
        absent=tuple(each.name for each in unseen),
        unknown=tuple(name for name, array in {**left, **left8}.items() if array.size > 1 and name not in faulty),
        faults=tuple(faults),
        computed=tuple(remade),
        int8=as_int8,
    )


def _compare_int8(
    int8: Mapping[str, Array], candidates: Sequence[Candidate]
) -> tuple[dict[str, Array], dict[str, list[Match]], tuple[str, ...]]:
    """The int8 tensors that are not the model's rounded, what they are like, and the model's found so alone."""
    marks = {each.name: np.zeros(each.array.shape, np.bool_) for each in candidates}
    left = {
        name: array
        for name, array in int8.items()
        if all(_without_equal({name: array}, part(candidates, marks, array.shape[1])) for part in _ROUNDED)
    }
    near = {name: _nearly_rounded(array, candidates, marks) for name, array in left.items()}
    alone = tuple(each.name for each in candidates if marks[each.name].all() and not each.found.all())
    for each in candidates:
        each.found[...] |= marks[each.name]
    return left, {name: matches for name, matches in near.items() if matches}, alone


def _rounding_of(array: Array, results: Sequence[Candidate]) -> bool:
    """Whether int8 weights are near to what rounding makes of something that forward computes."""
    marks = {each.name: np.zeros(each.array.shape, np.bool_) for each in results}
    return bool(_nearly_rounded(array, results, marks))


def _nearly_rounded(array: Array, candidates: Sequence[Candidate], marks: Marks) -> list[Match]:
    return _nearly(array, [each for part in _ROUNDED for each in part(candidates, marks, array.shape[1])])


def _without_equal(stored: Mapping[str, Array], candidates: Sequence[Candidate]) -> dict[str, Array]:
    """The tensors of the file that are not made of blocks of the model's; what the others hold is marked as found."""
    left = {}
    for name, array in stored.items():
        matches = next(cuts(array, candidates, EQUAL), [])
        for match in matches:
            match.found[...] = True
        if not matches:
            left[name] = array
    return left


def _nearly(array: Array, candidates: Sequence[Candidate]) -> list[Match]:
    """The blocks of a tensor beside what they most nearly are, among what was not found elsewhere; else none."""
    left = [each for each in candidates if not each.found.all()]
    lower = (matches for likeness in LOWER for matches in cuts(array, left, likeness))
    return next(lower, []) or min(cuts(array, left, NEAR), key=count_differing, default=[])


def _is_rounded(array: Array, results: Sequence[Candidate]) -> bool:
    matches = next(cuts(array, results, EQUAL), []) or min(cuts(array, results, NEAR), key=count_differing, default=[])
    return bool(matches) and all(_is_close(match.values, match.box) for match in matches)


def _is_close(values: Array, results: Array) -> bool:
    """Whether numbers differ by no more than rounding; a mask's infinities are equal or not."""
    largest = float(np.abs(results, where=np.isfinite(results), out=np.zeros_like(results)).max(initial=0))
    return np.allclose(values, results, rtol=_ROUNDING, atol=_ROUNDING * largest)


def _is_computed(matches: Sequence[Match], unseen: Sequence[Candidate]) -> bool:
    """Whether a tensor may be computed from what it is like and something else that is not in the file.

    That would be another tensor of the same layer, such as the length of a normalised weight, or the statistics of a
    normalisation that was drawn into the layer before it.
    """
    modules = {match.candidate.module for match in matches}
    sizes = {size for match in matches for size in match.candidate.array.shape}
    return any(
        each.module in modules or (each.name.endswith("running_var") and each.array.size in sizes) for each in unseen
    )


def _fault(name: str, matches: Sequence[Match]) -> WeightFault:
    differing = [match.differs for match in matches]
    match, where = next(pair for pair in zip(matches, differing, strict=True) if pair[1].any())
    index = tuple(np.argwhere(where)[0])
    return WeightFault(
        tensor=name,
        of=tuple(dict.fromkeys(part for match in matches for part in match.candidate.parts)),
        differing=count_differing(matches),
        size=sum(each.size for each in differing),
        got=float(match.values[index]),
        expected=float(match.box[index]),
    )
