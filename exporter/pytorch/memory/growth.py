"""What is longer by as much after every call, such as keys and values of attention: along which axis, and its name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...spec.streams import cannot_stream
from .places import Place
from .watching import Watched


def grown_axis(place: Place, run: Watched) -> int | None:
    """The axis along which a tensor grows, from nothing, by as much with every call, or until a window is full.

    None if it does not.
    """
    values = [call.after.get(place) for call in run.calls]
    shapes = [tuple(value.shape) for value in values if isinstance(value, Tensor)]
    if len(shapes) < len(values) or len({len(shape) for shape in shapes}) > 1:
        return None
    changing = [axis for axis, lengths in enumerate(zip(*shapes, strict=True)) if len({*lengths}) > 1]
    if len(changing) != 1:
        return None
    lengths = [shape[changing[0]] for shape in shapes]
    steady = [min(lengths[0] * (k + 1), lengths[-1]) for k in range(len(lengths))]
    return changing[0] if lengths == steady else None


def check_growth(places: Sequence[Place], run: Watched) -> None:
    """Refuse what has another size, or another kind, after every call, other than by growing along one axis.

    Raises:
        CaptureError: some place has, or two grow by different lengths.
    """
    first, *later = [call.after for call in run.calls]
    lengths = {}
    for place in places:
        axis = grown_axis(place, run)
        if axis is not None:
            lengths[place] = first[place].shape[axis]
            continue
        kinds = {_kind(call.get(place)) for call in (first, *later)}
        if len(kinds) > 1 or any(place not in call for call in (first, *later)):
            raise cannot_stream(
                f"{place} has another size or another kind of value after every call. Keep a fixed number of steps, in "
                "a tensor that has its size from the beginning, or append the same number of steps with every call, "
                "along one dimension of a tensor that begins empty or as None."
            )
    if len({*lengths.values()}) > 1:
        one, other = (next(p for p in lengths if lengths[p] == n) for n in sorted({*lengths.values()})[:2])
        raise cannot_stream(f"{one} and {other} grow by different lengths with every call. Let all grow by the same.")


def _kind(value: object) -> tuple[type, tuple[int, ...]]:
    return type(value), tuple(value.shape) if isinstance(value, Tensor) else ()
