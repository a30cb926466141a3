"""Compare the weights in a file with the model's bit for bit, trusting neither names nor the exporter.

An exporter moves weights: it transposes matrices, reorders gates, stacks directions, joins or adds biases, and splits a
matrix that two products share. So each tensor of the file is cut into as many equal blocks of rows as it may have gates
and directions, and each block must equal a box of one of the model's tensors, or of the sum of two of one layer, in
every bit. A tensor that is found nowhere but nearly equals one of the model is a fault. Whether the blocks are in the
right places is for the outputs to show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .candidates import Candidate, Marks, candidates_of, layer_sums, mark_parts, rounded_ends, rounded_whole
from .matching import EQUAL, NEAR, ROUNDED, Match, count_differing, match_blocks

Array = NDArray[Any]

# How far two libraries may differ in a float32 function, relative to the largest result.
_ROUNDING = 1e-5

# Whole channels first, because there are fewer.
_INT8 = (rounded_whole, rounded_ends)

_SHOWN = 3


@dataclass(frozen=True)
class WeightFault:
    """A tensor of the file that differs from the model's `of` in some elements, of which one is shown."""

    tensor: str
    of: tuple[str, ...]
    differing: int
    size: int
    got: float
    expected: float

    def __str__(self) -> str:
        where = f"in {self.differing:,} of {self.size:,} elements"
        values = f"{self.got:.9g} instead of {self.expected:.9g}"
        return f"'{self.tensor}' differs from the model's {_listed(self.of)} {where}: {values}"


@dataclass(frozen=True)
class WeightComparison:
    """How many of the model's tensors a file holds bit for bit, and what is known of the others.

    Of the model's tensors, `partly` are those that the file holds a part of, `absent` those that it holds nothing of,
    and `int8` those that it holds correctly rounded. Of the file's tensors, `computed` are those that forward computes
    from weights only, up to rounding, and `unknown` those of unknown origin, which outputs alone verify. `why` says why
    nothing was compared, `unseen` why it is unknown what forward computes.
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

    @property
    def identical(self) -> bool:
        """Whether the file holds every tensor of the model bit for bit, and no other."""
        return bool(self.compared) and self.equal == self.compared and not (self.faults or self.unknown)

    def without(self, known: Sequence[str]) -> WeightComparison:
        """The same with these tensors of the file counted as of unknown origin, not as faults."""
        faults = tuple(fault for fault in self.faults if fault.tensor not in known)
        moved = tuple(fault.tensor for fault in self.faults if fault.tensor in known)
        return replace(self, faults=faults, unknown=(*self.unknown, *moved))

    def __str__(self) -> str:
        """One line."""
        if self.why:
            return f"Weights: not compared, because {self.why}."
        parts = [f"{self.equal} of {self.compared} tensors equal the model's bit for bit"]
        parts += [f"{len(self.int8)} are int8, correctly rounded"] if self.int8 else []
        parts += [f"partly in the file: {_listed(self.partly)}"] if self.partly else []
        parts += [f"{self._gone}: {_listed(self.absent)}"] if self.absent else []
        parts += [f"of unknown origin in the file: {_listed(self.unknown)}"] if self.unknown else []
        if self.unseen and (self.unknown or self.faults):
            parts += [f"what forward computes from weights is unknown, because {self.unseen}"]
        return f"Weights: {'; '.join([*map(str, self.faults), *parts])}."

    @property
    def _gone(self) -> str:
        """What has become of the tensors that the file does not hold."""
        folded = "folded into others, as a batch normalization is into the layer before it, or unused"
        return folded if self.computed else "not in the file unchanged"

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
    """Compare the floating-point tensors of a file with those of the model that it was exported from, each by name.

    Args:
        stored: the file's tensors.
        model: the model's tensors.
        computed: what forward computes from the model's tensors only. A tensor of the file may equal one of these up to
            rounding, because another library may have computed it.
        int8: the file's int8 tensors times their scales, as float32 [channels, K]; each must equal a rounded tensor of
            the model.
    """
    candidates = candidates_of(model)
    left = _without_equal(stored, candidates)
    quantized = _compare_int8(int8, candidates)
    sums = layer_sums(candidates)
    left = _without_equal(left, [*candidates, *sums])
    mark_parts(candidates, sums)
    results = candidates_of(_without_equal(computed, candidates_of(model)))
    recomputed = tuple(name for name, array in left.items() if _is_recomputed(array, results))
    left = {name: array for name, array in left.items() if name not in recomputed}
    near = {name: matches for name, array in left.items() if (matches := _nearly(array, [*candidates, *sums]))}
    near |= {name: each for name, each in quantized.near.items() if not _is_rounded(quantized.left[name], results)}
    named = {part for matches in near.values() for match in matches for part in match.candidate.parts}
    absent = [each for each in candidates if not each.found.any() and each.name not in named]
    faults = {name: _fault(name, matches) for name, matches in near.items() if not _may_be_computed(matches, absent)}
    left = {**left, **quantized.left}
    return WeightComparison(
        compared=len(candidates),
        equal=sum(bool(each.found.all()) for each in candidates) - len(quantized.rounded),
        partly=tuple(each.name for each in candidates if each.found.any() and not each.found.all()),
        absent=tuple(each.name for each in absent),
        unknown=tuple(name for name, array in left.items() if array.size > 1 and name not in faults),
        faults=tuple(faults.values()),
        computed=recomputed,
        int8=quantized.rounded,
    )


@dataclass(frozen=True)
class _Int8Comparison:
    """`left` are the file's tensors that equal no rounded tensor, `near` what these nearly match.

    `rounded` are the model's tensors that the file holds in int8 only.
    """

    left: Mapping[str, Array]
    near: Mapping[str, list[Match]]
    rounded: tuple[str, ...]


def _compare_int8(int8: Mapping[str, Array], candidates: Sequence[Candidate]) -> _Int8Comparison:
    marks = _marks(candidates)
    left = {
        name: array
        for name, array in int8.items()
        if all(_without_equal({name: array}, part(candidates, marks, array.shape[1])) for part in _INT8)
    }
    near = {name: _nearly_rounded(array, candidates, marks) for name, array in left.items()}
    rounded = tuple(each.name for each in candidates if marks[each.name].all() and not each.found.all())
    for each in candidates:
        each.found[...] |= marks[each.name]
    return _Int8Comparison(left, {name: matches for name, matches in near.items() if matches}, rounded)


def _is_rounded(array: Array, results: Sequence[Candidate]) -> bool:
    """Whether int8 weights nearly equal the rounding of what forward computes."""
    return bool(_nearly_rounded(array, results, _marks(results)))


def _nearly_rounded(array: Array, candidates: Sequence[Candidate], marks: Marks) -> list[Match]:
    return _nearly(array, [each for part in _INT8 for each in part(candidates, marks, array.shape[1])])


def _marks(candidates: Sequence[Candidate]) -> Marks:
    return {each.name: np.zeros(each.array.shape, np.bool_) for each in candidates}


def _without_equal(stored: Mapping[str, Array], candidates: Sequence[Candidate]) -> dict[str, Array]:
    """The tensors of the file that do not consist of blocks of the model's; what the others hold is marked as found."""
    left = {}
    for name, array in stored.items():
        matches = next(match_blocks(array, candidates, EQUAL), [])
        for match in matches:
            match.found[...] = True
        if not matches:
            left[name] = array
    return left


def _nearly(array: Array, candidates: Sequence[Candidate]) -> list[Match]:
    """The nearest matches of a tensor's blocks, among what was not found elsewhere; empty if there are none."""
    left = [each for each in candidates if not each.found.all()]
    rounded = (matches for criterion in ROUNDED for matches in match_blocks(array, left, criterion))
    return next(rounded, []) or min(match_blocks(array, left, NEAR), key=count_differing, default=[])


def _is_recomputed(array: Array, results: Sequence[Candidate]) -> bool:
    """Whether a tensor equals what forward computes, up to rounding."""
    equal = next(match_blocks(array, results, EQUAL), [])
    matches = equal or min(match_blocks(array, results, NEAR), key=count_differing, default=[])
    return bool(matches) and all(_is_close(match.values, match.box) for match in matches)


def _is_close(values: Array, results: Array) -> bool:
    """Whether numbers differ by no more than rounding; infinities, as in a mask, must be equal."""
    largest = float(np.abs(results, where=np.isfinite(results), out=np.zeros_like(results)).max(initial=0))
    return np.allclose(values, results, rtol=_ROUNDING, atol=_ROUNDING * largest)


def _may_be_computed(matches: Sequence[Match], absent: Sequence[Candidate]) -> bool:
    """Whether a tensor may be computed from what it nearly equals and a tensor that is not in the file.

    That would be another tensor of the same layer, such as the norm of a normalized weight, or the statistics of a
    normalization that was folded into the layer before it.
    """
    modules = {match.candidate.module for match in matches}
    sizes = {size for match in matches for size in match.candidate.array.shape}
    return any(
        each.module in modules or (each.name.endswith("running_var") and each.array.size in sizes) for each in absent
    )


def _fault(name: str, matches: Sequence[Match]) -> WeightFault:
    match = next(match for match in matches if match.differing)
    index = tuple(np.argwhere(match.differs)[0])
    return WeightFault(
        tensor=name,
        of=tuple(dict.fromkeys(part for match in matches for part in match.candidate.parts)),
        differing=count_differing(matches),
        size=sum(match.box.size for match in matches),
        got=float(match.values[index]),
        expected=float(match.box[index]),
    )
