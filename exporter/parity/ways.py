"""Draw inputs that lead a model other ways: loops that stop early, late or at their limit, and decisions either way.

Only for a model that decides by values. At one size, whatever operators PyTorch then runs otherwise is another way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import thread_time

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..errors import InputError
from ..pytorch.operators_run import Way, way_through
from ..pytorch.run import as_tensors
from ..pytorch.samples import Case
from ..spec.signature import Signature
from .drawing import Drawing

Array = NDArray[np.generic]
Inputs = Mapping[str, Array]

# Seconds of this thread's work that drawing may take, and the most inputs that are drawn.
_BUDGET = 2.0
_DRAWS = 48
# Ways that are tried: the shortest, the longest, and these many between them.
_BETWEEN = 6
# Ordinary values first; a threshold may be far from them.
_SCALES = (1.0, 1.0, 0.1, 4.0, 1.0, 30.0)
# So far from the seed of the first case is that of the first draw.
_SEED = 9_000


@dataclass(frozen=True)
class Drawn:
    """Inputs of a case, and the way that the model takes with them."""

    case: Case
    inputs: Inputs
    way: Way


def draw_ways(model: nn.Module, drawing: Drawing, sizes: Mapping[str, int], seed: int) -> list[Drawn]:
    """Inputs of one size for several ways, the shortest first, then batches that join rows of two; or just one."""
    found: dict[Way, Drawn] = {}
    start = thread_time()
    for case, inputs in _draws(drawing, sizes, seed):
        try:
            way = way_through(model, as_tensors(inputs))
        except Exception:  # what PyTorch refuses is no way
            continue
        found.setdefault(way, Drawn(case, inputs, way))
        if thread_time() - start > _BUDGET:
            break
    ways = [found[way] for way in sorted(found)]
    if len(ways) < 2:
        return ways
    chosen = sorted({round(k * (len(ways) - 1) / (_BETWEEN + 1)) for k in range(_BETWEEN + 2)})
    return [*(ways[k] for k in chosen), *_joined(drawing.signature, ways[0], ways[-1])]


def _draws(drawing: Drawing, sizes: Mapping[str, int], seed: int) -> Iterator[tuple[Case, Inputs]]:
    """Ordinary values, then others, as far as the inputs' ranges leave them free."""
    for k in range(_DRAWS):
        case = Case(dict(sizes), "random" if drawing.example is not None and k % 2 else "ordinary", seed + _SEED + k)
        try:
            inputs = drawing.inputs(case)
        except InputError:  # the caller's function makes no such case
            return
        scale = 1.0 if drawing.made is not None else _SCALES[k % len(_SCALES)]
        yield case, {name: _scaled(drawing.signature, name, array, scale) for name, array in inputs.items()}


def _scaled(signature: Signature, name: str, array: Array, scale: float) -> Array:
    spec = signature.inputs[name]
    return (array.astype(np.float64) * scale).astype(array.dtype) if spec.is_float and not spec.floats else array


def _joined(signature: Signature, one: Drawn, other: Drawn) -> Iterator[Drawn]:
    """Batches of every second row of either, so that one sequence stops where another goes on."""
    for symbol in signature.symbols:
        size = one.case.sizes[symbol]
        if symbol == "T" or size < 2 or any(spec.derived or spec.descending for spec in signature.inputs.values()):
            continue
        inputs = {
            name: _alternating(array, other.inputs[name], signature.inputs[name].shape, symbol)
            for name, array in one.inputs.items()
        }
        yield Drawn(one.case, inputs, other.way)


def _alternating(one: Array, other: Array, shape: tuple[int | str, ...], symbol: str) -> Array:
    if symbol not in shape:
        return one
    mixed, axis = one.copy(), shape.index(symbol)
    np.moveaxis(mixed, axis, 0)[1::2] = np.moveaxis(other, axis, 0)[1::2]
    return mixed
