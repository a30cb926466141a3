"""Which places of a model change from call to call, which only in the first call, and what their sizes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...spec.dims import infer_dims
from ...spec.signature import DTYPES
from ...spec.streams import cannot_stream
from .numbers import DTYPES as NUMBERS
from .places import Place, same
from .watching import Watched


@dataclass(frozen=True)
class Changing:
    """The places that some call changes, and those of them that only the first one does."""

    places: tuple[Place, ...]
    settled: frozenset[Place]


def changing(run: Watched) -> Changing:
    """What changes in a few calls, each with other inputs."""
    moments = [run.before, *(call.after for call in run.calls)]
    known = list(dict.fromkeys(place for moment in reversed(moments) for place in moment))
    moved = {place: [not _alike(place, one, other) for one, other in zip(moments, moments[1:], strict=False)] for place in known}
    # A container that the first call fills is nowhere afterwards.
    last = moments[-1]
    found = tuple(place for place in known if any(moved[place]) and place in last)
    return Changing(found, frozenset(place for place in found if not any(moved[place][1:])))


def _alike(place: Place, one: object, other: object) -> bool:
    assert isinstance(one, dict) and isinstance(other, dict)
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
    dtype = str(NUMBERS[number] if number is not None else value.dtype).removeprefix("torch.")  # type: ignore[attr-defined]
    if dtype not in DTYPES:
        raise cannot_stream(f"{place} is of dtype {dtype}. Keep it as one of {', '.join(DTYPES)}.")
    values = [run.calls[0].after[place] for run in runs]
    shapes = [tuple(each.shape) if isinstance(each, Tensor) else () for each in values]
    dims = _with_factors([run.sizes for run in runs], shapes)
    if any(dim is None for dim in dims) or len({len(shape) for shape in shapes}) > 1:
        raise cannot_stream(
            f"{place} has a size that is none of the inputs', as its shapes {' and '.join(str([*s]) for s in shapes)} show."
        )
    return dtype, tuple(dim for dim in dims if dim is not None)


def _with_factors(sizes: Sequence[object], shapes: Sequence[tuple[int, ...]]) -> tuple[str | int | None, ...]:
    """As `infer_dims` names them; a size that is some times a product, such as `6*N`, is one too."""
    found = infer_dims(sizes, shapes)  # type: ignore[arg-type]
    return found
