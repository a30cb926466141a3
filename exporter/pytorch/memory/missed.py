"""Note what calls write besides the states that are known: a capture goes ways that no call before has gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from ...errors import CaptureError
from ...spec.streams import STATELESS
from ...torch_internals.modules import share_memory
from .arrangement import Arrangement, Owner
from .places import Place, attributes, get, leaves


class MissedError(CaptureError):
    """A call writes to `places`, which are no states yet."""

    def __init__(self, places: Collection[Place]) -> None:
        written = " and ".join(map(str, places))
        super().__init__(
            f"The model cannot stream: {written} is written by some calls, and cannot be carried. {STATELESS}"
        )
        self.places = tuple(places)


class Missed:
    """The places, in an object of its own: it is not put back to what it was when what a call writes is undone."""

    def __init__(self, arrangement: Arrangement) -> None:
        self._arrangement = arrangement
        self.places: dict[Place, None] = {}

    def note(self, model: nn.Module, before: Mapping[Owner, Any]) -> None:
        """Note what a call of the model has written besides its states; `before` are the attributes before it."""
        carried = {slot.place for slot in self._arrangement.slots} | self._arrangement.left
        met, now = set[int](), set[int]()
        for path, name, value in attributes(model):
            was = dict(leaves(before.get((path, name)), met))
            for keys, leaf in leaves(value, now):
                place = Place(path, name, keys)
                if place in self._arrangement.shared:
                    self._note_apart(model, place, leaf)
                elif (
                    place not in carried
                    and keys in was
                    and not _unchanged(was[keys], leaf)
                    and not self._settles(place, leaf)
                ):
                    self.places[place] = None

    def _note_apart(self, model: nn.Module, place: Place, value: Any) -> None:
        """Note what no longer lies in the memory of the tensor that it was found in."""
        base = self._arrangement.shared[place].base
        whole = dict(leaves(get(model.get_submodule(base.module), base.attribute), set())).get(base.keys)
        if not (isinstance(value, Tensor) and isinstance(whole, Tensor) and share_memory(value, whole)):
            self.places[place] = None

    def _settles(self, place: Place, value: Any) -> bool:
        """Whether this is what the first call makes of a value, and later ones leave."""
        return self._arrangement.begun is not None and _unchanged(self._arrangement.settled.get(place), value)


def _unchanged(before: Any, after: Any) -> bool:
    """Whether a call has left a value as it was; in a capture a tensor has no values that could be compared."""
    if before is after:
        return True
    if isinstance(before, (bool, int, float, str)):
        return type(before) is type(after) and bool(before == after)
    return type(before) is type(after) and not isinstance(before, Tensor)
