"""Make a case's inputs: random and reproducible from a seed, or cut from a user's example."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from ..errors import SignatureError
from ..spec.artifact import Values
from ..spec.float_range import FloatRange
from ..spec.signature import Signature, TensorSpec
from ..spec.size_expression import names_in, size_of
from .ranged_floats import DENORMAL, SATURATING, draw_ranged, takes

Array = NDArray[np.generic]
# Longer than any size that a model is captured at, so that a size that was baked in shows.
LONG = 257
NON_FINITE = ("infinite", "nan")
ORDINARY = ("ordinary", "random")

# Ordinary values with lengths that are all the longest, none above half of it, or all the shortest.
LENGTH_KINDS: tuple[Values, ...] = ("longest", "shorter", "shortest")

# Kinds of values that an input of a given range takes from there, and not from the example.
_FROM_RANGE = ("zero", "saturating", "denormal", "random")
_PRIMES = (7, 5, 11, 13, 17, 19, 23, 29)


@dataclass(frozen=True)
class Case:
    """The sizes of the symbolic dimensions, the kind of values, and the seed that they are drawn from."""

    sizes: Mapping[str, int]
    values: Values
    seed: int

    @property
    def name(self) -> str:
        return "-".join([self.values, *(f"{symbol}{size}" for symbol, size in self.sizes.items())])


def traced_sizes(
    signature: Signature, example: Mapping[str, Array] | None = None, least: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The sizes to capture a model at: the example's, else small primes that no fixed dimension has.

    `torch.export` specializes a size of 1, so a prime replaces it where the example has one. Where a model needs at
    least so many steps, sizes are counted from there: of five beyond a kernel's width, five remain.

    Raises:
        SignatureError: the example is empty or does not fit the signature.
    """
    given = {} if example is None else sizes_of(signature, example)
    if 0 in given.values():
        name = next(name for name, size in given.items() if not size)
        raise SignatureError(f"The example is empty along {name}. Give one with at least one element.")
    taken = {*given.values(), *(dim for spec in signature.inputs.values() for dim in spec.shape)}
    free = [prime for prime in _PRIMES if prime not in taken]
    if len(signature.symbols) > len(free):
        raise SignatureError(f"At most {len(free)} dynamic dimensions are supported. Give some as numbers.")
    primes = dict(zip(signature.symbols, free, strict=False))
    sizes: dict[str, int] = {}
    for name, prime in primes.items():
        beyond = (least or {}).get(name, 1) - 1
        sizes[name] = given.get(name, 0)
        if sizes[name] < 2:
            sizes[name] = next(k for k in chain([beyond + prime], count(beyond + 5)) if k not in taken)
        taken.add(sizes[name])
    return sizes


def make_inputs(signature: Signature, case: Case, example: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """The input arrays of a case; with an example, its values, cut or repeated to the case's sizes.

    "random" values are ordinary ones that are drawn where there is an example too. They take no more of it than its
    smallest and largest integer, where the signature gives no range.
    """
    return {
        name: _fill(
            name,
            spec,
            replace(case, values=_kind_for(signature, name, case.values)),
            None if example is None else example[name],
        )
        for name, spec in signature.inputs.items()
    }


def other_inputs(signature: Signature, inputs: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Inputs of the same sizes: other floating-point numbers, or other integers where there are no floats.

    Lengths stay as they are. Empty where nothing would change.
    """
    if any(spec.is_float for spec in signature.inputs.values()):
        floats = {name: array for name, array in inputs.items() if signature.inputs[name].is_float}
        return [{**inputs, **{name: change(array) for name, array in floats.items()}} for change in (_zeros, _moved)]
    tokens = {name: _next_tokens(spec, inputs[name]) for name, spec in signature.inputs.items() if not spec.has_lengths}
    return [{**inputs, **tokens}] if tokens else []


def _zeros(array: Array) -> Array:
    return np.zeros_like(array)


def _moved(array: Array) -> Array:
    """Other numbers of about the same size, which stay within 0..1 and above 0."""
    return np.asarray(np.flip(array).astype(np.float64) * 0.7 + 0.1).astype(array.dtype)


def _next_tokens(spec: TensorSpec, array: Array) -> Array:
    """Integers, each one larger, and the largest of their range the smallest."""
    low, high = spec.range or (0, 1)
    assert isinstance(high, int)
    values = array.astype(np.int64)
    return np.where(values >= high, low, values + 1).astype(array.dtype)


def has_kind(signature: Signature, values: Values) -> bool:
    """Whether there is a case of these values: an input may take them, if its range is given."""
    specs = signature.inputs.values()
    if values in LENGTH_KINDS:
        return any(spec.has_lengths for spec in specs)
    if values == "zero" and not all(spec.is_float for spec in specs):
        return True
    return any(
        takes(spec.floats, values, spec.dtype) if isinstance(spec.floats, FloatRange) else spec.is_float
        for spec in specs
    )


def _kind_for(signature: Signature, name: str, values: Values) -> Values:
    """The kind of values as it applies to one input.

    Only sequences saturate, only the first float input of any value at all is non-finite, and an input of a given range
    has the kinds of values that lie in it.
    """
    spec = signature.inputs[name]
    if values == "nan" and spec.has_lengths:
        return "longest"  # a NaN beyond a sequence's end would not be read
    if values in NON_FINITE:
        free = (name for name, spec in signature.inputs.items() if spec.is_float and not spec.floats)
        return values if name == next(free, None) else "ordinary"
    if values == "saturating" and not (spec.is_float and _is_sequence(signature, name)):
        return "ordinary"
    if isinstance(spec.floats, FloatRange) and not takes(spec.floats, values, spec.dtype):
        return "ordinary"
    return values


def _is_sequence(signature: Signature, name: str) -> bool:
    """Whether an input has as many dynamic dimensions as any; one with fewer is a state, even if it is not paired."""
    most = max(len(spec.symbols) for spec in signature.inputs.values() if spec.is_float)
    return name not in signature.states and len(signature.inputs[name].symbols) == most


def _fill(name: str, spec: TensorSpec, case: Case, example: Array | None) -> Array:
    shape = spec.sized(case.sizes)
    random = np.random.default_rng([case.seed, zlib.crc32(name.encode())])
    if not spec.is_float:
        return _integers(spec, shape, case, example, random)
    if case.values == "random":
        example = None
    if isinstance(spec.floats, FloatRange) and (example is None or case.values in _FROM_RANGE):
        return draw_ranged(spec.floats, case.values, shape, spec.dtype, random)
    if case.values == "zero":
        return np.zeros(shape, spec.dtype)
    base = random.standard_normal(shape) if example is None else _resized(example, shape).astype(np.float64)
    scale = {"saturating": SATURATING, "denormal": DENORMAL}.get(case.values, 1.0)
    array = np.asarray(base * scale, spec.dtype).copy()
    if array.size and case.values in NON_FINITE:
        array.reshape(-1)[random.integers(array.size)] = np.inf if case.values == "infinite" else np.nan
    return array


def _integers(
    spec: TensorSpec, shape: tuple[int, ...], case: Case, example: Array | None, random: np.random.Generator
) -> Array:
    low, high = _span(spec, case, example)
    if case.values == "zero":
        return np.full(shape, low, spec.dtype)
    if case.values == "random":
        example = None
    if example is not None and not (spec.has_lengths and case.values in LENGTH_KINDS):
        resized = _resized(example, shape)
        drawn = np.clip(resized, low, high) if spec.has_lengths else resized
    else:
        drawn = random.integers(low, high, shape, np.int64, endpoint=True)
    if spec.has_lengths and high >= LONG and case.values in ORDINARY:
        drawn = drawn.copy()
        drawn[..., :1] = high  # so that one sequence is as long as the case
    # A copy, because PyTorch takes no array with negative strides.
    return np.array(np.sort(drawn)[..., ::-1] if spec.descending else drawn, spec.dtype, order="C")


def _span(spec: TensorSpec, case: Case, example: Array | None) -> tuple[int, int]:
    """The smallest and largest value of a case's integers."""
    if spec.range is None and case.values == "random" and example is not None and np.ptp(example.astype(np.int64)):
        return int(example.min()), int(example.max())
    low, end = spec.range or (0, 1)
    if isinstance(end, int):
        return low, end
    high = max(low, case.sizes[end])
    spans = {"longest": (high, high), "shorter": (low, (low + high) // 2), "shortest": (low, low)}
    return spans.get(case.values, (low, high))


def _resized(example: Array, shape: tuple[int, ...]) -> Array:
    index = np.ix_(*(np.arange(size) % have for size, have in zip(shape, example.shape, strict=True)))
    return example[index]


def sizes_of(signature: Signature, example: Mapping[str, Array], subject: str = "The example's") -> dict[str, int]:
    """The size of each dynamic dimension in these arrays.

    Raises:
        SignatureError: an array is missing, or its shape or dtype does not fit the signature.
    """
    for name in signature.inputs:
        if name not in example:
            raise SignatureError(f"The example has no '{name}'. Give an array for each input.")
    sizes: dict[str, int] = signature.sizes({name: array.shape for name, array in example.items()})
    for name, spec in signature.inputs.items():
        shape = example[name].shape
        fits = len(shape) == len(spec.shape) and all(
            size == (size_of(dim, sizes) if isinstance(dim, str) else dim)
            for dim, size in zip(spec.shape, shape, strict=True)
        )
        if not fits or example[name].dtype != spec.dtype:
            given = f"{example[name].dtype}{list(shape)}"
            known = [f"{name} is {sizes[name]}" for dim in spec.derived for name in names_in(dim) if name in sizes]
            where = f", where {' and '.join(dict.fromkeys(known))}" if known else ""
            raise SignatureError(f"{subject} '{name}' is {given}, not {spec}{where}. Give an array that fits.")
    return sizes


def check_ranges(signature: Signature, example: Mapping[str, Array], subject: str = "The example's") -> None:
    """Check that an example's values lie in the ranges that the signature gives; its arrays must fit the signature.

    Raises:
        SignatureError: a value is out of range.
    """
    sizes = sizes_of(signature, example)
    for name, spec in signature.inputs.items():
        if isinstance(spec.floats, FloatRange):
            wrong = example[name][~spec.floats.holds(example[name])]
            if wrong.size:
                held = f"{subject} '{name}' holds {wrong[0]:g}"
                raise SignatureError(f"{held}, which is not {spec.floats}. Give one that fits.")
        if spec.range is None:
            continue
        low, end = spec.range
        high = end if isinstance(end, int) else max(low, sizes[end])
        values = example[name].astype(np.int64)
        outside = values[(values < low) | (values > high)]
        if outside.size:
            ends = f"{low}..{end}" + ("" if isinstance(end, int) else f", where {end} is {sizes[end]}")
            raise SignatureError(f"{subject} '{name}' holds {outside[0]}, which is not in {ends}. Give one that fits.")
