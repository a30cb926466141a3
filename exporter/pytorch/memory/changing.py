"""Which places of a model change from call to call, which only in the first call, and what their sizes are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from ...spec.dims import Dim, infer_dims
from ...spec.signature import DTYPES
from ...spec.streams import cannot_stream, past_name
from .growth import grown_axis
from .numbers import DTYPES as NUMBERS
from .places import Place, same
from .watching import Watched


@dataclass(frozen=True)
class Changing:
    """The places that some call changes, and those of them that only the first one does."""

    places: tuple[Place, ...]
    settled: frozenset[Place]


def changing(run: Watched, also: Collection[Place] = ()) -> Changing:
    """What changes in a few calls, each with other inputs; what is in `also` is taken to."""
    moments = [run.before, *(call.after for call in run.calls)]
    known = list(dict.fromkeys(place for moment in reversed(moments) for place in moment))
    moved = {place: [not _alike(place, one, other) for one, other in pairwise(moments)] for place in known}
    # A container that the first call fills is nowhere afterwards.
    last = moments[-1]
    found = tuple(place for place in known if place in last and (any(moved[place]) or place in also))
    return Changing(found, frozenset(place for place in found if not any(moved[place][1:]) and place not in also))


def _alike(place: Place, one: Mapping[Place, Any], other: Mapping[Place, Any]) -> bool:
    return (place in one) == (place in other) and same(one.get(place), other.get(place))


def number_of(value: object) -> type | None:
    """The type of a Python number; None for what is none."""
    return type(value) if type(value) in NUMBERS else None


def dims_of(place: Place, runs: Sequence[Watched]) -> tuple[str, tuple[str | int, ...]]:
    """The dtype and the sizes of what a place holds after a call, with names where they are those of the inputs.

    Raises:
        CaptureError: it has no such dtype in a file, or a size that is no size of the inputs.
    """
    value = runs[0].calls[0].after[place]
    number = number_of(value)
    dtype = str(NUMBERS[number] if number is not None else value.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise cannot_stream(f"{place} is of dtype {dtype}. Keep it as one of {', '.join(DTYPES)}.")
    values = [run.calls[0].after[place] for run in runs]
    shapes = [tuple(each.shape) if isinstance(each, Tensor) else () for each in values]
    dims = _dims([run.sizes for run in runs], shapes)
    axes = {grown_axis(place, run) for run in runs}
    if len(axes) == 1 and (axis := axes.pop()) is not None:
        dims = (*dims[:axis], past_name(runs[0].sizes), *dims[axis + 1 :])
    if any(dim is None for dim in dims) or len({len(shape) for shape in shapes}) > 1:
        raise cannot_stream(
            f"{place} has a size that is none of the inputs', as its shapes "
            f"{' and '.join(str([*shape]) for shape in shapes)} show."
        )
    return dtype, tuple(dim for dim in dims if dim is not None)


def _dims(sizes: Sequence[Mapping[str, int]], shapes: Sequence[tuple[int, ...]]) -> tuple[Dim, ...]:
    """As `infer_dims` names them; a size that is some times another, such as `6*N`, has a name too."""
    found = infer_dims(sizes, shapes)
    return tuple(
        _multiple(sizes, [shape[axis] for shape in shapes]) if dim is None else dim for axis, dim in enumerate(found)
    )


def _multiple(sizes: Sequence[Mapping[str, int]], lengths: Sequence[int]) -> Dim:
    for name in sizes[0]:
        times, rest = divmod(lengths[0], sizes[0][name])
        if not rest and all(times * run[name] == length for run, length in zip(sizes, lengths, strict=True)):
            return f"{times}*{name}"
    return None
