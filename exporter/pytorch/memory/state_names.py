"""What states are called: `rnn.h0` and `rnn.h_n` for what `self.rnn.h` holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from torch import nn

from ...spec.streams import after_name
from .places import Place, places


def state_names(kept: Sequence[Place], taken: Collection[str]) -> dict[Place, tuple[str, str]]:
    """For each place the names of its input and output, none of which is taken."""
    names: dict[Place, tuple[str, str]] = {}
    used = {*taken}
    for place in kept:
        stem, k = _stem(place), 0
        base = stem
        while f"{base}0" in used or after_name(f"{base}0") in used:
            k += 1
            base = f"{stem}_{k}_"
        names[place] = (f"{base}0", after_name(f"{base}0"))
        used.update(names[place])
    return names


def places_called(model: nn.Module, names: Collection[str]) -> list[Place]:
    """The places of a model whose states have these names."""
    return [place for place in places(model) if f"{_stem(place)}0" in names]


def _stem(place: Place) -> str:
    """The path to a value; of several in one attribute, the keys lead to one that is called h."""
    attribute = place.attribute.lstrip("_") or "state"
    path = [*filter(None, place.module.split(".")), attribute, *map(str, place.keys), *(["h"] if place.keys else [])]
    valid = [re.sub(r"[^A-Za-z0-9_]", "_", part) for part in path]
    return ".".join(valid) if re.match(r"[A-Za-z_]", valid[0]) else "_" + ".".join(valid)
