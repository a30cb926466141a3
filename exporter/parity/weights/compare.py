"""Are the weights in a file those of the model? Compared bit for bit, without trust in names or in the exporter.

An exporter moves weights: it turns matrices, puts gates in another order, stacks directions, joins biases or adds them
up, and cuts what two products share. So each tensor of the file is cut into as many equal blocks of rows as there may
be gates and directions, and each block must be a box of one of the model's tensors, or of the sum of two of one layer,
every bit the same. What is found nowhere, but nearly equals a tensor of the model, is a fault. Whether the blocks stand
in the right places is for the outputs to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .likeness import EQUAL, LOWER, NEAR, Likeness
from .owned import Owned, mark_parts, own, sums
from .places import find_block
from .rounded import Marks, rounded_ends, rounded_whole
from .tensors import bits_of, coarse_bits, matrices
from .verdict import WeightFault, Weights

Array = NDArray[Any]

# What two libraries may make of one function of float32, relative to the largest result.
_ROUNDING = 1e-5

# Gates times directions, and twice as many for the two biases of each.
_CUTS = (1, 2, 3, 4, 6, 8, 12, 16)

# The whole channels first, for there are fewer.
_ROUNDED = (rounded_whole, rounded_ends)


@dataclass(frozen=True)
class _Match:
    """A block of a tensor of the file, and the box of a tensor of the model that it is or nearly is."""

    values: Array
    owned: Owned
    box: Array
    found: NDArray[np.bool_]

    @property
    def differs(self) -> NDArray[np.bool_]:
        return np.asarray(bits_of(self.values) != bits_of(self.box))


def compare_weights(
    stored: Mapping[str, Array],
    model: Mapping[str, Array],
    computed: Mapping[str, Array] = MappingProxyType({}),
    int8: Mapping[str, Array] = MappingProxyType({}),
) -> Weights:
    """Compare the floating-point tensors of a file with those of the model that it was made from, each by name.

    `computed` are tensors that the model's forward computes of its own alone. A tensor of the file that is one of these
    but for rounding, for it may have been computed by another library, is none of unknown origin. `int8` are what the
    int8 tensors of the file stand for, float32 [channels, K]: they must be what rounding makes of the model's.
    """
    owned = own(model)
    left = _without_equal(stored, owned)
    left8, near8, as_int8 = _compare_int8(int8, owned)
    summed = sums(owned)
    left = _without_equal(left, [*owned, *summed])
    mark_parts(owned, summed)
    results = own(_without_equal(computed, own(model)))
    remade = [name for name, array in left.items() if _is_rounded(array, results)]
    left = {name: array for name, array in left.items() if name not in remade}
    near = {name: matches for name, array in left.items() if (matches := _nearly(array, [*owned, *summed]))}
    near |= {name: matches for name, matches in near8.items() if not _rounding_of(left8[name], results)}
    touched = {part for matches in near.values() for match in matches for part in match.owned.parts}
    unseen = [each for each in owned if not each.found.any() and each.name not in touched]
    faults = [_fault(name, matches) for name, matches in near.items() if not _is_computed(matches, unseen)]
    faulty = {fault.tensor for fault in faults}
    return Weights(
        compared=len(owned),
        equal=sum(bool(each.found.all()) for each in owned) - len(as_int8),
        partly=tuple(each.name for each in owned if each.found.any() and not each.found.all()),
        absent=tuple(each.name for each in unseen),
        unknown=tuple(name for name, array in {**left, **left8}.items() if array.size > 1 and name not in faulty),
        faults=tuple(faults),
        computed=tuple(remade),
        int8=as_int8,
    )


def _compare_int8(
    int8: Mapping[str, Array], owned: Sequence[Owned]
) -> tuple[dict[str, Array], dict[str, list[_Match]], tuple[str, ...]]:
    """The int8 tensors that are not the model's rounded, what they are like, and the model's found so alone."""
    marks = {each.name: np.zeros(each.array.shape, np.bool_) for each in owned}
    left = {
        name: array
        for name, array in int8.items()
        if all(_without_equal({name: array}, part(owned, marks, array.shape[1])) for part in _ROUNDED)
    }
    near = {name: _nearly_rounded(array, owned, marks) for name, array in left.items()}
    alone = tuple(each.name for each in owned if marks[each.name].all() and not each.found.all())
    for each in owned:
        each.found[...] |= marks[each.name]
    return left, {name: matches for name, matches in near.items() if matches}, alone


def _rounding_of(array: Array, results: Sequence[Owned]) -> bool:
    """Whether int8 weights are near to what rounding makes of something that forward computes."""
    marks = {each.name: np.zeros(each.array.shape, np.bool_) for each in results}
    return bool(_nearly_rounded(array, results, marks))


def _nearly_rounded(array: Array, owned: Sequence[Owned], marks: Marks) -> list[_Match]:
    return _nearly(array, [each for part in _ROUNDED for each in part(owned, marks, array.shape[1])])


def _without_equal(stored: Mapping[str, Array], owned: Sequence[Owned]) -> dict[str, Array]:
    """The tensors of the file that are not made of blocks of the model's; what the others hold is marked as found."""
    left = {}
    for name, array in stored.items():
        matches = next(_cuts(array, owned, EQUAL), [])
        for match in matches:
            match.found[...] = True
        if not matches:
            left[name] = array
    return left


def _nearly(array: Array, owned: Sequence[Owned]) -> list[_Match]:
    """The blocks of a tensor beside what they most nearly are, among what was not found elsewhere; else none."""
    left = [each for each in owned if not each.found.all()]
    lower = (matches for likeness in LOWER for matches in _cuts(array, left, likeness))
    return next(lower, []) or min(_cuts(array, left, NEAR), key=_differing, default=[])


def _differing(matches: Sequence[_Match]) -> int:
    return sum(int(np.count_nonzero(match.differs)) for match in matches)


def _tells(match: _Match) -> bool:
    """Whether a likeness is no accident, as it may be between tensors that are mostly zeros."""
    whole = match.box.size == match.owned.array.size
    return whole or np.unique(coarse_bits(match.box)[coarse_bits(match.box) == coarse_bits(match.values)]).size > 1


def _cuts(array: Array, owned: Sequence[Owned], likeness: Likeness) -> Iterator[list[_Match]]:
    """The ways to cut a tensor so that each of its blocks is, or nearly is, one of the model's."""
    # A single number is found in any large tensor, but may be one of the biases of one unit.
    fitting = [each for each in owned if array.size > 1 or each.array.size <= max(_CUTS)]
    for matrix in _ways(array):
        for count in _CUTS:
            if matrix.shape[0] % count == 0:
                matches = _match_all(np.split(matrix, count), fitting, likeness)
                if matches:
                    yield matches


def _ways(array: Array) -> Iterator[Array]:
    """A tensor of the file as matrices whose rows may be cut into blocks."""
    *others, rows = matrices(array)
    yield from (rows, rows.T, *others)
    if array.ndim == 2 and array.shape[0] <= 2:
        yield array.reshape(-1, 1)  # the biases of one or two directions


def _match_all(blocks: Sequence[Array], owned: Sequence[Owned], likeness: Likeness) -> list[_Match]:
    matches = []
    for block in blocks:
        found = _matches(block, owned, likeness)
        match = next(found, None) if likeness.whole else min(found, key=lambda each: _differing([each]), default=None)
        if match is None:
            return []
        matches.append(match)
    return matches


def _matches(block: Array, owned: Sequence[Owned], likeness: Likeness) -> Iterator[_Match]:
    bits = likeness.of_file(block)
    rows, columns = block.shape
    for each in owned:
        if each.array.dtype != block.dtype or each.array.size < block.size:
            continue
        for matrix, found in zip(matrices(each.array), matrices(each.found), strict=True):
            place = find_block(bits, likeness.of_model(matrix))
            if place is None:
                continue
            box = (slice(place.row, place.row + rows), slice(place.column, place.column + columns))
            match = _Match(block, each, matrix[box], found[box])
            if place.differing == 0 if likeness.whole else _tells(match):
                yield match


def _is_rounded(array: Array, results: Sequence[Owned]) -> bool:
    matches = next(_cuts(array, results, EQUAL), []) or min(_cuts(array, results, NEAR), key=_differing, default=[])
    return bool(matches) and all(_is_close(match.values, match.box) for match in matches)


def _is_close(values: Array, results: Array) -> bool:
    """Whether numbers differ by no more than rounding; a mask's infinities are equal or not."""
    largest = float(np.abs(results, where=np.isfinite(results), out=np.zeros_like(results)).max(initial=0))
    return np.allclose(values, results, rtol=_ROUNDING, atol=_ROUNDING * largest)


def _is_computed(matches: Sequence[_Match], unseen: Sequence[Owned]) -> bool:
    """Whether a tensor may be computed from what it is like and something else that is not in the file.

    That would be another tensor of the same layer, such as the length of a normalised weight, or the statistics of a
    normalisation that was drawn into the layer before it.
    """
    modules = {match.owned.module for match in matches}
    sizes = {size for match in matches for size in match.owned.array.shape}
    return any(
        each.module in modules or (each.name.endswith("running_var") and each.array.size in sizes) for each in unseen
    )


def _fault(name: str, matches: Sequence[_Match]) -> WeightFault:
    differing = [match.differs for match in matches]
    match, where = next(pair for pair in zip(matches, differing, strict=True) if pair[1].any())
    index = tuple(np.argwhere(where)[0])
    return WeightFault(
        tensor=name,
        of=tuple(dict.fromkeys(part for match in matches for part in match.owned.parts)),
        differing=_differing(matches),
        size=sum(each.size for each in differing),
        got=float(match.values[index]),
        expected=float(match.box[index]),
    )
