"""What a call records of its own sequence and no later one reads: it is no state, and has no size of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from torch import Tensor

from ...errors import CaptureError
from ...spec.dims import infer_dims
from ...spec.streams import cannot_stream
from ..first_run import Trial
from .growth import grown_axis
from .places import Place
from .watching import Watched, is_read


class Recorded:
    """Stands where a record of the call before would be: whatever reads it is refused."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        raise next((_read(each.place) for each in args if isinstance(each, cls)), CaptureError("a record is read"))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _read(self.place)


def recorded(trial: Trial, places: Collection[Place], runs: Sequence[Watched]) -> dict[Place, Recorded]:
    """The places that are as long as the sequence of the call that wrote them.

    Raises:
        CaptureError: the next call, whose sequence may have another length, reads one; or there are as many as steps.
    """
    if "T" not in trial.signature.symbols:
        return {}
    uneven = [place for place in places if place.keys and any(place not in run.calls[0].after for run in runs)]
    if uneven:
        raise cannot_stream(
            f"{Place(uneven[0].module, uneven[0].attribute)} holds more items for a longer sequence. Keep them in a "
            "local variable, or as one tensor."
        )
    found = [place for place in places if _is_as_long(place, runs)]
    for place in found:
        if is_read(trial, runs[0], place):
            raise _read(place)
    return {place: Recorded(place) for place in found}


def _is_as_long(place: Place, runs: Sequence[Watched]) -> bool:
    values = [run.calls[0].after.get(place) for run in runs]
    shapes = [tuple(value.shape) for value in values if isinstance(value, Tensor)]
    if len(shapes) < len(runs) or len({len(shape) for shape in shapes}) > 1:
        return False
    # What grows with every call has a size of its own.
    return "T" in infer_dims([run.sizes for run in runs], shapes) and grown_axis(place, runs[0]) is None


def _read(place: Place) -> CaptureError:
    return cannot_stream(
        f"{place} is as long as the sequence of one call, and the next, which may be longer, reads it. Keep a fixed "
        "number of steps."
    )
